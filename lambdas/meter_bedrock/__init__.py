"""Meters the calls in Bedrock's model-invocation log, for apps that send nothing themselves."""
