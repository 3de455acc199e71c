"""Claude, from Anthropic directly (`anthropic/<model>`) or on Bedrock (`anthropic/bedrock/<model id>`)."""
