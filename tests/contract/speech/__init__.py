"""What every `TextToSpeech` and every `SpeechToText` must do, whoever is behind it."""
