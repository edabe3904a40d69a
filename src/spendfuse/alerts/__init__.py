"""Who should hear of it? Envelopes in; incidents, words and channels out."""
