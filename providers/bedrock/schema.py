"""JSON Schemas cut down to what Bedrock enforces; the caller checks the rest.

Source: docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html, a subset of JSON Schema 2020-12. A schema
outside of it is refused with the whole request, so rather too little than too much is passed on.
"""

from typing import Any

_KEPT = frozenset({"type", "description", "title", "enum", "const", "required"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)
_BEYOND = frozenset(
    {"$ref", "$dynamicRef", "allOf", "not", "if", "patternProperties", "prefixItems", "dependentSchemas"}
)


class _NotEnforceable(Exception):
    pass


def enforceable(schema: dict[str, Any]) -> dict[str, Any] | None:
    """`schema` with every object closed and without limits on numbers, lengths and patterns.

    `None` if that would not be the same shape any more, as with objects of free names, which closing would empty.
    """
    try:
        return _reduced(schema)
    except _NotEnforceable:
        return None


def _reduced(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict) or _BEYOND & schema.keys():
        raise _NotEnforceable
    kept = {name: value for name, value in schema.items() if name in _KEPT}
    if schema.get("format") in _FORMATS:
        kept["format"] = schema["format"]
    if "items" in schema:
        kept["items"] = _reduced(schema["items"])
    for name in ("anyOf", "oneOf"):
        if name in schema:
            kept["anyOf"] = [_reduced(choice) for choice in schema[name]]
    kinds = schema.get("type", ())
    if "properties" in schema or "object" in ([kinds] if isinstance(kinds, str) else kinds):
        properties = schema.get("properties")
        if not properties:
            raise _NotEnforceable
        kept["properties"] = {name: _reduced(value) for name, value in properties.items()}
        kept["additionalProperties"] = False
    return kept
