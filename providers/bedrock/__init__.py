"""Models on Amazon Bedrock through the Converse API of boto3."""

from providers.bedrock.client import BedrockService

__all__ = ["BedrockService"]
