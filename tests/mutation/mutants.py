"""Small faults planted in source code, one at a time.

Written here because the libraries fit badly: cosmic-ray 8.7 writes each mutant into its file, starts a process for it
and brings 20 packages; mutmut 3.8 mutates the bodies of plain functions only, so no property, no validator and no
limit of a field. Here a mutant is a changed syntax tree, compiled in memory; nothing is written.

Left alone: docstrings and other strings, annotations, `__all__`, blocks under TYPE_CHECKING, and the text of messages.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""The boundary moved, and the opposite."""
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_PAIRS = (("min", "max"), ("any", "all"), ("minimum", "maximum"), ("floor", "ceil"))
OPPOSITES = dict(_PAIRS) | {second: first for first, second in _PAIRS}
"""Functions and methods that are easily mistaken for each other."""

AROUND = 60
"""Characters of a long line that a diff shows on either side of a fault."""

Site = tuple[ast.AST, str, int | None, ast.AST, ast.stmt]
"""Parent, field, place in the field's list, node, and the statement that holds it."""


@dataclass(frozen=True)
class Mutant:
    """One fault: in `tree`, `parent.field` (at `place`, where it is a list) becomes `new`."""

    path: str
    operator: str
    line: int
    tree: ast.Module
    site: Site
    new: ast.AST

    def _put(self, node: ast.AST) -> None:
        parent, field, place, _, _ = self.site
        if place is None:
            setattr(parent, field, node)
        else:
            getattr(parent, field)[place] = node

    def compiled(self) -> CodeType:
        """The module's code with the fault; the tree is as before afterwards."""
        self._put(ast.copy_location(self.new, self.site[3]))
        try:
            return compile(ast.fix_missing_locations(self.tree), self.path, "exec")
        finally:
            self._put(self.site[3])

    def diff(self) -> str:
        """The lines that differ, as `ast.unparse` writes them."""
        holder = self.site[4]
        removed = self.site[3] is holder  # a statement that goes altogether
        before = ast.unparse(holder).splitlines()
        if removed:
            after = ast.unparse(self.new).splitlines()
        else:
            self._put(self.new)
            after = ast.unparse(holder).splitlines()
            self._put(self.site[3])
        lines = [line for line in list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:] if line[0] != "@"]
        if len(lines) == 2:  # one long line: the part that differs
            pairs = zip(lines[0][1:], lines[1][1:], strict=False)
            first = next((place for place, (here, there) in enumerate(pairs) if here != there), 0)
            start = max(first - AROUND, 0)
            lines = [f"{line[0]}{'…' * (start > 0)}{line[1 + start :][: 2 * AROUND]}" for line in lines]
        return "\n".join(lines)


def mutants_of(path: Path, name: str) -> list[Mutant]:
    """All mutants of one file, in the order of its source; `name` is the path to report."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return [
        Mutant(name, operator, getattr(site[3], "lineno", site[4].lineno), tree, site, new)
        for site in _sites(tree, None)
        for operator, new in _alternatives(site)
    ]


def _sites(parent: ast.AST, statement: ast.stmt | None, raising: bool = False) -> Iterator[Site]:
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns"):
            continue
        for place, node in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(node, ast.AST) or _is_left_alone(node) or (raising and isinstance(node, ast.JoinedStr)):
                continue
            holder = node if isinstance(node, ast.stmt) else statement
            if holder is not None:
                yield parent, field, place, node, holder
            yield from _sites(node, holder, raising or isinstance(node, ast.Raise))


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Subscript(value=ast.Name(id="Literal" | "Annotated")):  # the alias of an annotation
            return True
    return False


def _alternatives(site: Site) -> Iterator[tuple[str, ast.AST]]:
    parent, field, _, node, _ = site
    match node:
        case ast.Compare(left, ops, comparators):
            for place, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield "comparison", ast.Compare(left, [*ops[:place], other(), *ops[place + 1 :]], comparators)
        case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
            yield "arithmetic", ast.BinOp(left, ARITHMETIC[type(op)](), right)
        case ast.AugAssign(target, op, value) if type(op) in ARITHMETIC:
            yield "arithmetic", ast.AugAssign(target, ARITHMETIC[type(op)](), value)
        case ast.BoolOp(op, values):
            yield "and / or", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not() | ast.Invert() | ast.USub(), operand):
            yield "sign or not dropped", operand
        case ast.Constant(bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield "constant", ast.Constant(value + 1)
            yield "constant", ast.Constant(value - 1)
        case ast.Call(ast.Name(name), arguments, keywords) if name in OPPOSITES:
            yield "opposite function", ast.Call(ast.Name(OPPOSITES[name], ast.Load()), arguments, keywords)
        case ast.Call(ast.Attribute(value, name), arguments, keywords) if name in OPPOSITES:
            opposite = ast.Attribute(value, OPPOSITES[name], ast.Load())
            yield "opposite function", ast.Call(opposite, arguments, keywords)
        case ast.Return(value) if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            yield "returns None", ast.Return(ast.Constant(None))
        case ast.Break():
            yield "break / continue", ast.Continue()
        case ast.Continue():
            yield "break / continue", ast.Break()
    if isinstance(node, ast.expr) and _is_condition(parent, field) and not _is_negated_elsewhere(node):
        yield "condition negated", ast.UnaryOp(ast.Not(), node)
    if _can_go(node):
        yield "statement dropped", ast.Pass()


def _is_condition(parent: ast.AST, field: str) -> bool:
    return (isinstance(parent, (ast.If, ast.IfExp, ast.While)) and field == "test") or field == "ifs"


def _is_negated_elsewhere(node: ast.AST) -> bool:
    match node:
        case ast.Compare(ops=[_]) | ast.UnaryOp(op=ast.Not()):
            return True
    return False


def _can_go(node: ast.AST) -> bool:
    """Statements without which the rest still runs; a name that is never bound would be too easy to notice."""
    match node:
        case ast.Expr(value):
            return not isinstance(value, ast.Constant)
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]) | ast.AugAssign() | ast.Raise():
            return True
    return False
