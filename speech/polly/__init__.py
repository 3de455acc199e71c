"""Speech by Amazon Polly."""
