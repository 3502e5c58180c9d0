"""Porter's stemmer as nltk has it by default (`PorterStemmer()`, mode NLTK_EXTENSIONS), without importing nltk.

Source: Porter 1980, "An algorithm for suffix stripping", with the changes of nltk 3.10.4, which METEOR and rouge-score
use: irregular words, `-ies` and `-ied` of four letters, y -> i after a consonant only, `-fulli`, `-logi`, and *o for
stems of two letters. tests/metrics compares it with nltk's own, word by word.
"""

from __future__ import annotations

from graders.metrics.limits import WordMemo

IRREGULAR = {
    "sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news",
    "innings": "inning", "inning": "inning", "outings": "outing", "outing": "outing",
    "cannings": "canning", "canning": "canning", "howe": "howe", "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
}  # fmt: skip

# In each step the first matching suffix decides, whether or not its condition then holds.
STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "fulli": "ful",
}  # fmt: skip
STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent",
    "ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize",
)  # fmt: skip

VOWELS = frozenset("aeiou")


def stem(word: str) -> str:
    """The stem, in lower case. Time is linear in the word's length."""
    low = word.lower()
    if low in IRREGULAR:
        return IRREGULAR[low]
    if len(word) <= 2:
        return low
    for step in (_plural, _past, _y, _double, _simple, _last, _final_e, _final_l):
        low = step(low)
    return low


#: Word -> its stem.
stems = WordMemo(stem)


def _form(word: str) -> str:
    """Consonants as c, vowels as v: a y is a vowel where a consonant stands before it."""
    form = []
    before = "v"
    for letter in word:
        before = "v" if letter in VOWELS or (letter == "y" and before == "c") else "c"
        form.append(before)
    return "".join(form)


def _measure(word: str) -> int:
    """Porter's measure m: the number of vowel-consonant sequences."""
    return _form(word).count("vc")


def _ends_cvc(word: str) -> bool:
    """Porter's *o: ends in consonant, vowel, consonant (not w, x, y); or is vowel, consonant."""
    form = _form(word)
    return (form.endswith("cvc") and word[-1] not in "wxy") or form == "vc"


def _ends_double(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _form(word)[-1] == "c"


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    """Step 1b."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    for suffix in ("ed", "ing"):
        if word.endswith(suffix) and "v" in _form(word[: -len(suffix)]):
            return _restore(word[: -len(suffix)])
    return word


def _restore(word: str) -> str:
    """The word after -ed or -ing was removed, with its ending restored."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _ends_double(word):
        return word if word[-1] in "lsz" else word[:-1]
    # nltk also tries the name of the rule above as a suffix
    if word.endswith("*d"):
        return word[:-2] + "d"
    return word + "e" if _measure(word) == 1 and _ends_cvc(word) else word


def _y(word: str) -> str:
    """Step 1c, nltk's."""
    return word[:-1] + "i" if word.endswith("y") and len(word) > 2 and _form(word)[-2] == "c" else word


def _double(word: str) -> str:
    """Step 2."""
    if word.endswith("alli") and _measure(word[:-4]):
        return _double(word[:-2])
    for suffix, instead in STEP_2.items():
        if word.endswith(suffix):
            return word[: -len(suffix)] + instead if _measure(word[: -len(suffix)]) else word
    return word[:-1] if word.endswith("logi") and _measure(word[:-3]) else word


def _simple(word: str) -> str:
    """Step 3."""
    for suffix, instead in STEP_3.items():
        if word.endswith(suffix):
            return word[: -len(suffix)] + instead if _measure(word[: -len(suffix)]) else word
    return word


def _last(word: str) -> str:
    """Step 4."""
    for suffix in STEP_4:
        if word.endswith(suffix):
            left = word[: -len(suffix)]
            return left if _measure(left) > 1 and (suffix != "ion" or left[-1] in "st") else word
    return word


def _final_e(word: str) -> str:
    """Step 5a."""
    if word.endswith("e"):
        left = word[:-1]
        m = _measure(left)
        if m > 1 or (m == 1 and not _ends_cvc(left)):
            return left
    return word


def _final_l(word: str) -> str:
    """Step 5b."""
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
