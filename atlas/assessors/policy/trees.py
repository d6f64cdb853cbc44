"""The parts of the tree that CEL's grammar makes of a condition."""

from lark import Token, Tree

# How many names a macro binds and how many arguments it takes; `reduce` and `min` are celpy's own.
MACROS = dict.fromkeys(("all", "exists", "exists_one", "filter", "map"), (1, 2)) | {
    "min": (0, 0),
    "reduce": (2, 4),
}


def arguments_of(tree: Tree[Token]) -> list[Tree[Token]]:
    """What stands in the brackets of a function, a macro or a list."""
    last = tree.children[-1] if tree.children else None
    parts = last.children if isinstance(last, Tree) and last.data == "exprlist" else []
    return [part for part in parts if isinstance(part, Tree)]


def inner_of(tree: Tree[Token]) -> Tree[Token]:
    """The first part with something in it: the grammar puts every expression into a dozen others."""
    while len(tree.children) == 1 and isinstance(only := tree.children[0], Tree) and tree.data != "list_lit":
        tree = only
    return tree


def name_of(tree: Tree[Token]) -> str:
    """The name that a part is, or has after its dot; nothing where it has none."""
    return next((str(child) for child in tree.children if isinstance(child, Token)), "")
