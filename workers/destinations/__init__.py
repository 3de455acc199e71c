"""Where callbacks go: HTTP, Slack, a database. One module for each, all behind `service.Sender`."""
