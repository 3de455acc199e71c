"""Which archive the settings name."""

from jobs.session import Archive
from jobs.settings import Settings
from jobs.store.connection import Connection
from jobs.store.history import RedisArchive


def archive_of(settings: Settings, connection: Connection) -> Archive:
    """The archive for a process; boto3 is loaded only for DynamoDB, and only by the first call."""
    if settings.history == "dynamodb":
        from conversations.dynamodb import DynamoArchive

        return DynamoArchive(settings)
    return RedisArchive(connection, settings)
