"""Prompt text with holes: a small, sandboxed subset of Jinja, in which a caller's text cannot become an instruction.

What a template may do is checked when it is loaded, not when it runs: which fields exist, which of them hold free text
of the caller's, and that free text is printed only in the user part, and only through the filter `fenced`.
"""

from collections.abc import Mapping
from typing import Any

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jobs import errors

LENGTH_LIMIT = 8_000_000
"""Characters that one rendered part may have."""
RESERVED = frozenset({"and", "else", "false", "fence", "if", "in", "is", "loop", "none", "not", "or", "true"})
"""Names that an input field cannot have, because they mean something else in a template."""

_PLAIN = (nodes.Concat, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.List, nodes.Neg, nodes.Tuple)


class RenderFailed(errors.JobFailure):
    """The prompt could not be made from this input; the prompt file is at fault."""

    code = "prompt_failed"


class FenceBroken(Exception):
    """The text to be fenced contains the fence; take another one."""


class TemplateInvalid(Exception):
    """A template breaks a rule; `line` counts from 1 in the prompt file."""

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(reason)


class Field(msgspec.Struct, frozen=True):
    """What a template needs to know of one input field."""

    free: bool
    """Holds text of the caller's choice, as opposed to a number, a boolean or one of the file's own words."""
    always: bool
    """Is always there: required, or with a default."""


FENCE = Field(free=False, always=True)
"""What `fence` is to a template that may speak of it."""


def fields_of(input_schema: Mapping[str, Any]) -> dict[str, Field]:
    """The fields of an input, by name."""
    required = input_schema.get("required", ())
    return {
        name: Field(free=not _closed(schema), always=name in required or "default" in schema)
        for name, schema in input_schema["properties"].items()
    }


def _closed(schema: Any) -> bool:
    """Whether no value that fits `schema` can hold words of the caller's."""
    if not isinstance(schema, dict):
        return False
    if "enum" in schema or "const" in schema:
        return True
    types = schema.get("type", ())
    types = {types} if isinstance(types, str) else set(types)
    if types == {"array"}:
        return "prefixItems" not in schema and _closed(schema.get("items"))
    return bool(types) and types <= {"boolean", "integer", "number", "null"}


@jinja2.pass_context
def _fenced(context: jinja2.runtime.Context, value: Any) -> str:
    fence = context["fence"]
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if fence in text:
        raise FenceBroken
    return f"<{fence}>\n{text}\n</{fence}>"


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, cache_size=0
    )
    kept = ("join", "length", "lower", "trim", "upper")
    environment.filters = {name: environment.filters[name] for name in kept} | {"fenced": _fenced}
    environment.tests = {"none": environment.tests["none"]}
    environment.globals = {}
    return environment


ENVIRONMENT = _environment()
"""What templates may use: a handful of filters, one test, nothing global, no loading of other templates."""


class Template:
    """One compiled part of a prompt."""

    def __init__(self, text: str, *, line: int, fields: Mapping[str, Field], instructs: bool) -> None:
        """Compiles `text`, which starts at `line` of its file; raises `TemplateInvalid`.

        `instructs` says that the model takes this part as instructions: no free text may appear in it at all.
        """
        # Blank lines in front make the compiler count lines as the file has them.
        source = "\n" * (line - 1) + text
        try:
            tree = ENVIRONMENT.parse(source)
            _Check(fields, instructs=instructs).block(tree.body, {}, frozenset())
            self._compiled = ENVIRONMENT.from_string(tree)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateInvalid(error.lineno, error.message or "is not a valid template") from error

    def render(self, values: Mapping[str, Any]) -> str:
        """The text for `values`: every field by name (`None` where it was not given), and `fence`.

        Raises `FenceBroken`, or `RenderFailed` for what the checks at load cannot see.
        """
        pieces: list[str] = []
        left = LENGTH_LIMIT
        try:
            for piece in self._compiled.generate(values):
                left -= len(piece)
                if left < 0:
                    raise RenderFailed(f"the prompt would be longer than {LENGTH_LIMIT} characters")
                pieces.append(piece)
        except (jinja2.TemplateError, TypeError) as error:
            raise RenderFailed(f"the prompt could not be rendered: {type(error).__name__}") from error
        return "".join(pieces).strip()


class _Check:
    """Walks a template and refuses what is not allowed in it."""

    def __init__(self, fields: Mapping[str, Field], *, instructs: bool) -> None:
        self._fields = fields
        self._instructs = instructs

    def block(self, body: list[nodes.Node], local: Mapping[str, bool], given: frozenset[str]) -> None:
        """`local` are loop variables and whether they are free; `given` the optional fields known to be there."""
        for node in body:
            match node:
                case nodes.Output():
                    for part in node.nodes:
                        if not isinstance(part, nodes.TemplateData):
                            self._expression(part, local, given)
                            self._printed(part, local)
                case nodes.If():
                    self._if(node, local, given)
                case nodes.For():
                    self._for(node, local, given)
                case _:
                    raise TemplateInvalid(node.lineno, f"{{% {type(node).__name__.lower()} %}} is not available")

    def _if(self, node: nodes.If, local: Mapping[str, bool], given: frozenset[str]) -> None:
        for branch in (node, *node.elif_):
            self._expression(branch.test, local, given, tested=True)
            self.block(branch.body, local, given | _present(branch.test, holds=True))
            given = given | _present(branch.test, holds=False)
        self.block(node.else_, local, given)

    def _for(self, node: nodes.For, local: Mapping[str, bool], given: frozenset[str]) -> None:
        if node.recursive or "loop" in local:
            raise TemplateInvalid(node.lineno, "a loop within a loop is not available")
        self._expression(node.iter, local, given)
        free = self._free(node.iter, local)
        if free and self._instructs:
            raise TemplateInvalid(node.lineno, _refusal(free))
        targets = [node.target] if isinstance(node.target, nodes.Name) else list(node.target.find_all(nodes.Name))
        for name in targets:
            if name.name in RESERVED or name.name in self._fields:
                raise TemplateInvalid(node.lineno, f"the loop variable {name.name!r} needs a name of its own")
        inner = {**local, "loop": False} | {name.name: bool(free) for name in targets}
        if node.test is not None:
            self._expression(node.test, inner, given)
        self.block(node.body, inner, given)
        self.block(node.else_, local, given)

    def _expression(
        self, node: nodes.Node, local: Mapping[str, bool], given: frozenset[str], *, tested: bool = False
    ) -> None:
        """Refuses names that do not exist, or may be missing where that is not what is `tested`; and other syntax."""
        match node:
            case nodes.Name():
                self._name(node, local, given, tested=tested)
            case nodes.Not():
                self._expression(node.node, local, given, tested=tested)
            case nodes.And() | nodes.Or():
                # What is not there never comes out of an `or` on its left.
                self._expression(node.left, local, given, tested=tested or isinstance(node, nodes.Or))
                given = given | _present(node.left, holds=isinstance(node, nodes.And))
                self._expression(node.right, local, given, tested=tested)
            case nodes.CondExpr():
                self._expression(node.test, local, given, tested=True)
                self._expression(node.expr1, local, given | _present(node.test, holds=True))
                if node.expr2 is None:
                    raise TemplateInvalid(node.lineno, "an if within an expression needs an else")
                self._expression(node.expr2, local, given | _present(node.test, holds=False))
            case nodes.Compare():
                equality = all(operand.op in ("eq", "ne", "in", "notin") for operand in node.ops)
                self._expression(node.expr, local, given, tested=tested and equality)
                for operand in node.ops:
                    self._expression(operand.expr, local, given)
            case nodes.Filter() | nodes.Test():
                known = ENVIRONMENT.filters if isinstance(node, nodes.Filter) else ENVIRONMENT.tests
                if node.name not in known:
                    reason = f"unknown {type(node).__name__.lower()} {node.name!r}; known: {', '.join(sorted(known))}"
                    raise TemplateInvalid(node.lineno, reason)
                self._children(node, local, given, tested=tested and isinstance(node, nodes.Test))
            case _ if isinstance(node, _PLAIN):
                self._children(node, local, given)
            case _:
                raise TemplateInvalid(node.lineno, f"{type(node).__name__.lower()} is not available in expressions")

    def _children(
        self, node: nodes.Node, local: Mapping[str, bool], given: frozenset[str], *, tested: bool = False
    ) -> None:
        for child in node.iter_child_nodes():
            self._expression(child, local, given, tested=tested)

    def _name(self, node: nodes.Name, local: Mapping[str, bool], given: frozenset[str], *, tested: bool) -> None:
        if node.name in local:
            return
        field = self._fields.get(node.name)
        if field is None:
            known = ", ".join(sorted(self._fields))
            raise TemplateInvalid(node.lineno, f"{node.name!r} is not an input field; known: {known}")
        if not (field.always or tested or node.name in given):
            reason = f"{node.name!r} is optional: use it inside {{% if {node.name} %}}, or give it a default"
            raise TemplateInvalid(node.lineno, reason)

    def _printed(self, node: nodes.Node, local: Mapping[str, bool]) -> None:
        name = self._free(node, local)
        if name and self._instructs:
            raise TemplateInvalid(node.lineno, _refusal(name))
        if name and not (isinstance(node, nodes.Filter) and node.name == "fenced"):
            raise TemplateInvalid(
                node.lineno, f"{name!r} holds text of the caller's: print it as {{{{ {name} | fenced }}}}"
            )

    def _free(self, node: nodes.Node, local: Mapping[str, bool]) -> str | None:
        """The name of a field or variable with free text that can show in what `node` evaluates to."""
        if isinstance(node, nodes.Name):
            field = self._fields.get(node.name)
            free = local.get(node.name, field is not None and field.free)
            return node.name if free else None
        if isinstance(node, nodes.Filter) and node.name == "length":
            return None
        children = (node.expr1, node.expr2) if isinstance(node, nodes.CondExpr) else node.iter_child_nodes()
        return next((name for child in children if child and (name := self._free(child, local))), None)


def _present(test: nodes.Node, *, holds: bool) -> frozenset[str]:
    """The fields that are certainly there when `test` holds, or when it does not."""
    match test:
        case nodes.Name():
            return frozenset({test.name} if holds else ())
        case nodes.Not():
            return _present(test.node, holds=not holds)
        case nodes.And() | nodes.Or():
            left, right = _present(test.left, holds=holds), _present(test.right, holds=holds)
            return left | right if isinstance(test, nodes.And) == holds else left & right
        case nodes.Test(name="none", node=nodes.Name() as name):
            return frozenset(() if holds else {name.name})
        case nodes.Compare(expr=nodes.Name() as name, ops=[operand]) if operand.op in ("eq", "in"):
            return frozenset({name.name} if holds else ())
    return frozenset()


def _refusal(name: str) -> str:
    return (
        f"{name!r} holds text of the caller's, which must not get into the system part; only numbers, booleans and "
        "fields with an enum may be used there"
    )
