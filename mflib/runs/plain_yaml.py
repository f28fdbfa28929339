"""YAML as params files and `-p` need it: names, plain values, lists; whatever else it can do is refused."""

from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

_DEEPEST = 20  # PyYAML descends once a level, and thousands would exhaust its stack


class _Loader(yaml.SafeLoader):
    """YAML's safe loader without what a params file has no use for and an attacker has.

    A few hundred letters of aliases stand for more values than a memory holds.
    """

    _depth = 0

    def compose_node(self, parent, index):
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "aliases (`*name`) are not allowed; write the value again", mark)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ComposerError(None, None, f"is nested more than {_DEEPEST} levels deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be a name, not a list or mapping; text in braces needs quotes"
                raise ConstructorError(None, None, problem, key.start_mark)
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception:  # the 45th of a month, an int of 10,000 digits, `!!bool maybe`
            problem = f"is no {node.tag.rpartition(':')[2]}; a text needs quotes"
            raise ConstructorError(None, None, problem, node.start_mark) from None


def parse(text: str) -> Any:
    """The plain value that a YAML text describes.

    Parameters
    ----------
    text : str

    Raises
    ------
    yaml.YAMLError
        If it is not valid, or has a tag of another language, an alias, a key twice, or more than 20 levels.

    Examples
    --------
    >>> parse("{seed: 0, rates: [1.0, 2.0]}")
    {'seed': 0, 'rates': [1.0, 2.0]}
    """
    return yaml.load(text, Loader=_Loader)
