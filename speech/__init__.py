"""Speech to text and text to speech behind `SpeechToText` and `TextToSpeech`; may import `jobs` only."""
