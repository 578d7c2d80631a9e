"""
The engine guard: refuses statements that operators alone cannot refuse.

Two kinds: SQL expressions that would store plaintext past the type, such as
`update().values(ssn=func.upper("x"))`, and clauses in which a bare sealed column is silently
wrong, such as ORDER BY. Each statement is looked at once, when it was compiled and before it is
sent; a cached one costs an attribute lookup.

Raw SQL text is not read. There the CHECK constraint of the column is the last line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from ..types.dual_search import DualMatch
from ..types.loose import is_loose
from . import assignments, expressions, selects
from .findings import Findings
from .kinds import sealed_results
from .parameters import check_parameters
from .parts import parts

_EXAMINERS = (*selects.EXAMINERS, *assignments.EXAMINERS, *expressions.EXAMINERS)


def guard_statement(
    _connection: Any, cursor: Any, statement: Any, parameters: Any, context: Any, _many: Any
) -> tuple[Any, Any]:
    """Check the statement of a cursor execution, once for each compiled form."""
    compiled = context.compiled
    if compiled is not None:
        findings: Any = getattr(compiled, "_sealed_findings", False)
        try:
            if findings is False:
                findings = compiled._sealed_findings = _examined(compiled)
            if findings is not None:
                findings.check_execution(context)
        except BaseException:
            cursor.close()  # SQLAlchemy closes it after errors of the driver only.
            raise
    return statement, parameters


def _examined(compiled: Any) -> Findings | None:
    """Return what has to be checked at each execution, or None."""
    state = getattr(compiled, "compile_state", None)
    statement = getattr(state, "statement", None)
    findings = check(compiled.statement if statement is None else statement, *_criteria(compiled))
    check_parameters(compiled)
    findings.is_dual = findings.is_dual or _reads_plaintext(compiled)
    return findings if findings.grouped or findings.loose or findings.is_dual else None


def _reads_plaintext(compiled: Any) -> bool:
    """Whether a column of the result may hold plaintext."""
    return any(type_.settings.is_dual for type_ in sealed_results(compiled))


def _criteria(compiled: Any) -> Iterator[Any]:
    """Yield what `with_loader_criteria` adds, wherever in the statement the ORM adds it."""
    for key, options in vars(compiled).get("_global_attributes", {}).items():
        if isinstance(key, tuple) and key[0] == "additional_entity_criteria":
            yield from (option._resolve_where_criteria(key[1]) for option in options)


def check(*statements: Any) -> Findings:
    """
    Check one statement, and what is added to it.

    Raises:
        RefusedOperationError: it would be silently wrong, or store plaintext.
    """
    findings = Findings()
    for statement in statements:
        for part in parts(statement):
            examine(part, findings)
            if is_loose(part):
                findings.loose.append(part)
            findings.is_dual = findings.is_dual or isinstance(part, DualMatch)
    findings.check()
    return findings


def examine(part: Any, findings: Findings) -> None:
    """Check one part of a statement, not those inside of it."""
    kind: Any = type(part)
    _examiner(kind)(part, findings)


@cache
def _examiner(kind: type[Any]) -> Callable[[Any, Findings], None]:
    for known, examiner in (*_EXAMINERS, *assignments.upsert_examiners()):
        if issubclass(kind, known):
            return examiner
    return expressions.examine_other


# What returns a value is called without a wrapper around it.
event.listen(Engine, "before_cursor_execute", guard_statement, retval=True)
