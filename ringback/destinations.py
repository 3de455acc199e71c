"""`ringback destinations`: shows the destinations of ringback.toml, and makes the tables that its databases need."""

from urllib.parse import urlsplit

from jobs import errors
from jobs import settings as configuration
from jobs.settings import Destination


def show() -> int:
    """Prints name, kind and place of each destination, without secrets."""
    for name, destination in configuration.load().destinations.items():
        print(f"{name}  {place(destination)}")
    return 0


def create_table(name: str) -> int:
    """Makes the table for results in the database `name`, unless it is there.

    Raises `errors.NotFound` if there is no such destination, `errors.ConfigurationError` if it cannot be done.
    """
    destinations = configuration.load().destinations
    if name not in destinations:
        known = f"known: {', '.join(destinations)}" if destinations else "ringback.toml names none"
        raise errors.NotFound(f"There is no destination {name!r}; {known}")
    destination = destinations[name]
    if not destination.database_url:
        raise errors.InvalidRequest(f"destinations.{name} is no database, so there is nothing to make")
    from workers.destinations.database import Results

    results = Results(name, destination)
    try:
        made = results.create()
    finally:
        results.dispose()
    print(f"{place(destination)}: {'made' if made else 'was there already'}")
    return 0


def problem(name: str, destination: Destination) -> str | None:
    """What keeps it from working, as far as one can see without delivering anything. Blocks, at most 10 s a step."""
    if destination.database_url:
        from workers.destinations.database import Results

        try:
            results = Results(name, destination)
        except errors.ConfigurationError as error:
            return error.detail
        try:
            return results.check()
        finally:
            results.dispose()
    return _slack_problem(destination) if destination.slack_token else None


def _slack_problem(destination: Destination) -> str | None:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

    base = destination.slack_api_url or WebClient.BASE_URL
    try:
        WebClient(destination.slack_token, base_url=base, timeout=10, retry_handlers=[]).auth_test()
    except SlackApiError as refusal:
        return f"Slack refuses the slack_token: {refusal.response.get('error', 'unreadable answer')}"
    except OSError as error:
        return f"Slack cannot be reached: {type(error).__name__}"
    return None


def place(destination: Destination) -> str:
    """Kind and place in one line: of URLs only what is no secret, which excludes the path of a Slack webhook."""
    if destination.slack_webhook:
        return f"slack webhook at {_host(destination.slack_webhook)}"
    if destination.slack_token:
        return f"slack bot at {_host(destination.slack_api_url or 'https://slack.com/api/')}"
    if destination.database_url:
        return f"database {_database(destination.database_url)}, table {destination.table}"
    return f"url {destination.url}"


def _database(given: str) -> str:
    # As SQLAlchemy reads it: it takes passwords in which others see the end of the host's name.
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(given)
    except sqlalchemy.exc.ArgumentError:
        return "with a database_url that is no URL"
    return sqlalchemy.URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()


def _host(url: str) -> str:
    """Host and port, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2]
