"""What all services of Amazon need, whatever they do: clients of boto3 for the event loop, and what failures mean."""
