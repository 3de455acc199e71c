"""The tools that a caller offers to the model: what is wrong with them, and what they are."""

from collections.abc import Mapping
from typing import Any

import msgspec

from prompts.problem import Path, Problem
from prompts.schema import SchemaInvalid, check_document
from prompts.turn import Tool, ToolChoice


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the input the tools are."""

    tools: str
    """The input field with `[{name, description?, parameters}, …]`."""
    choice: str | None
    """The input field with `auto`, `none` or `required`."""

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with the tools of an input that fits its schema."""
        tools = value.get(self.tools)
        if not tools:
            needless = self.choice is not None and self.choice in value
            return [Problem((str(self.choice),), f"means nothing without {self.tools}")] if needless else []
        problems: list[Problem] = []
        names: set[str] = set()
        for index, tool in enumerate(tools):
            path = (self.tools, index)
            if tool["name"] in names:
                problems.append(Problem((*path, "name"), "another tool has the same name"))
            names.add(tool["name"])
            problems += _parameters_problems((*path, "parameters"), tool["parameters"])
        return problems

    def of(self, value: Mapping[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice]:
        """The tools of a valid input, and whether the model may, must not or must call one."""
        choice = value.get(self.choice, "auto") if self.choice else "auto"
        return msgspec.convert(value.get(self.tools, ()), tuple[Tool, ...]), msgspec.convert(choice, ToolChoice)


def _parameters_problems(path: Path, parameters: Mapping[str, Any]) -> list[Problem]:
    if parameters.get("type") != "object":
        return [Problem((*path, "type"), "must be object: arguments are always a JSON object")]
    try:
        check_document(parameters)
    except SchemaInvalid as error:
        return [Problem((*path, *error.problem.path), error.problem.detail)]
    return []
