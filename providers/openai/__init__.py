"""Any server that speaks OpenAI's chat completions: OpenAI itself, Azure, vLLM, Ollama, llama.cpp, LM Studio, …"""
