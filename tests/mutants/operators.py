"""Every mutant of a module: cosmic-ray's, and those of two operators that it lacks."""

import re
from typing import NamedTuple

import parso
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

# A bit operator for an arithmetic one raises on every float: killed by anything, it would flatter the score.
TRIVIAL = re.compile(r"Operator_(?!Bit)\w+_(RShift|LShift|BitOr|BitAnd|BitXor)$")


# What equivalent.toml names a mutant by; not the number of the line, which moves.
KEY = ("module", "operator", "line", "becomes")


class Mutant(NamedTuple):
    """A module's whole new source; for people, the first line that changed and what it became."""

    module: str
    operator: str
    line: str
    becomes: str
    source: str

    @property
    def key(self) -> tuple[str, ...]:
        """The fields of KEY."""
        return self[:4]


def mutants(module: str, source: str) -> list[Mutant]:
    """Every mutant of this source, each new source once."""
    operators = {name.split("/")[1]: plugins.get_operator(name) for name in plugins.operator_names()}
    operators |= {"DropStatement": DropStatement, "DropArgument": DropArgument}
    found = {}
    for name, operator in operators.items():
        if operator.arguments() or TRIVIAL.search(name):
            continue
        n_places = sum(len(list(operator().mutation_positions(node))) for node in ast_nodes(get_ast(source)))
        for place in range(n_places):
            mutated = mutate_code(source, operator(), place)
            if not is_program(mutated):
                continue
            pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
            line, becomes = next((" ".join(a.split()), " ".join(b.split())) for a, b in pairs if a != b)
            found.setdefault(mutated, Mutant(module, name, line, becomes, mutated))
    return list(found.values())


def is_program(source: str) -> bool:
    """Whether it compiles; cosmic-ray takes the star before arguments by name for a product."""
    try:
        compile(source, "a mutant", "exec")
    except SyntaxError:
        return False
    return True


class DropStatement(Operator):
    """A call that stands alone, or a raise, becomes `pass`."""

    def mutation_positions(self, node):
        """Where such a statement is."""
        if node.type in ("atom_expr", "raise_stmt") and node.parent.type == "simple_stmt":
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        """`pass` with the space before the statement."""
        return parso.python.tree.Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls):
        """None: the base class wants this method."""
        return ()


class DropArgument(DropStatement):
    """A call loses its last argument, or one given by name: the called function may have a default."""

    def mutation_positions(self, node):
        """One for each argument that can go, where there are at least two."""
        if node.type == "arglist":
            yield from ((node.start_pos, node.end_pos) for _ in droppable(node))

    def mutate(self, node, index):
        """The arguments without that one and its comma."""
        place = droppable(node)[index]
        start = max(place - 1, 0)
        del node.children[start : start + 2]
        return node


def droppable(arguments) -> list[int]:
    """Which children are named arguments, or the last one."""
    given = [i for i, child in enumerate(arguments.children) if child.type != "operator"]
    named = [i for i in given if getattr(arguments.children[i], "children", [None] * 2)[1] == "="]
    return sorted({*named, given[-1]})
