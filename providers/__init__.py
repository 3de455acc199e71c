"""AI providers behind one interface, `AIService`; one folder per vendor."""
