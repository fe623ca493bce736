"""Makers of random calls: operators on strings."""

from __future__ import annotations

import numpy as np

from random_ops_draw import STRING, Draw, Made, op


@op("StringConcat")
def string_concat(d: Draw) -> Made:
    a, b = d.broadcast(2)
    return [d.x(a), d.x(b)], {}


@op("StringSplit", outputs=2)
def string_split(d: Draw) -> Made:
    x = d.x(d.dims(1, 3))  # of a scalar the reference knows no parts
    return [x], d.attributes(delimiter=d.one_of("", ",", "a", ", ", "ß", "本"), maxsplit=d.int(0, 3))


@op("RegexFullMatch")
def regex_full_match(d: Draw) -> Made:
    return [d.x()], {"pattern": d.one_of("a?b?", "", "[a-z]+", ".*", "日.語", r"\w+ß\w", "(a|b|A)(,.*)?", "[^a]*")}


@op("StringNormalizer")
def string_normalizer(d: Draw) -> Made:
    # The words that the reference takes as they are: without accents, spaces, and mappings of one character to two.
    words = np.array(["a", "A", "b", "Ab", "ab", "日本", "😀", "Zz"], object)
    dims = [d.int(0, 5)] if d.flag() else [1, d.int(1, 5)]
    x = np.asarray(words[d.rng.integers(0, len(words), dims)], object)
    stops = [str(word) for word in d.rng.permutation(words)[: d.int(1, 3)]]
    action = d.one_of("LOWER", "UPPER", "NONE")
    sensitive = 1 if action == "NONE" else d.int(0, 1)
    return [x], {"case_change_action": action, "is_case_sensitive": sensitive} | d.attributes(stopwords=stops)


@op("Cast", since=9, types=(STRING,))
def cast_to_numbers(d: Draw) -> Made:
    texts = np.array(["0", "-1", "+2.5", "1e-3", "1E4", "3.25", "INF", "-inf", "NaN", "7"], object)
    x = np.asarray(texts[d.rng.integers(0, len(texts), d.dims())], object)
    return [x], {"to": d.one_of(1, 11)}
