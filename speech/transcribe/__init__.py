"""Speech understood by Amazon Transcribe: streamed, and in batches."""
