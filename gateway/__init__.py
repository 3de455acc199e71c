"""The HTTP gateway: validates, accepts, lists, streams. It touches no vendor."""
