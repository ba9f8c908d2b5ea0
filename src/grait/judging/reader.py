"""A clause of an output read in the light of its question: what in it refuses, and whether it answers."""

import itertools
import re
from typing import Literal

from grait.judging.clauses import MASK, Clause, Word, clauses_of, words_of
from grait.judging.kinds import is_right
from grait.judging.lists import Lists, Phrases, Texts, covered, find, found_in
from grait.judging.matching import contains_answer, parse_choice, straighten
from grait.records import Question

Refusal = Literal["none", "refused", "refused_then_answered"]

_QUOTED = re.compile(r"\"([^\"]+)\"|(?<!\w)'((?:[^']|(?<=\w)'(?=\w))+)'(?!\w)|\*([^*]+)\*")
_BRACKETS = str.maketrans(dict.fromkeys("「」『』《》〈〉“”„«»", '"'))
_LONGEST_SHORT = {False: 4, True: 12}
"""Words, or characters where there are no spaces, of an answer that stands alone."""

_NEAR = 16
"""Words before or after a phrase that are looked at, so that long outputs take no longer for each."""

_LONGEST_TALK = 64
"""Words, or characters where there are no spaces, that may stand before a refusal and say nothing, as above."""

_OPEN_CONDITIONS = (("if", "it"), ("if", "that"))
"""``If it is Paris``: what is not known, no answer."""

_SELF_REPORTS = (("this", "is", "something"), ("that", "is", "something"))
"""``This is something I don't know``"""


def with_plain_quotes(text: str) -> str:
    """The text straightened, with quotation marks for the brackets of titles."""
    return straighten(text.translate(_BRACKETS))


class Reader:
    """One question, in whose light outputs are read: its words, and phrases that are titles or answers of its own."""

    def __init__(self, question: Question, lists: Lists, phrases: Phrases) -> None:
        self.question, self.lists, self.own, self.phrases = question, lists, lists.own, phrases
        asked = with_plain_quotes(question.question)
        self.words = lists.core(question.question)
        self.known = frozenset(self.words)
        quoted = [next(filter(None, found.groups())) for found in _QUOTED.finditer(asked)]
        self.titles = {lists.core(text) for text in quoted}
        given = [*question.answers, *question.choices, *(quoted if self.own.inflected else ())]
        # Only references that hold a phrase can be mistaken for a refusal.
        self.shields = tuple(text for text in map(lists.core, dict.fromkeys(given)) if self._may_refuse(text))
        self.repeats_phrase = self.own.inflected and bool(found_in(self.words, phrases))

    def _may_refuse(self, texts: Texts) -> bool:
        whole = any(texts in self.lists.replies.get(word, ()) for word in texts[:1])
        anywhere = found_in(texts, self.phrases) or found_in(texts, self.lists.openings)
        return whole or bool(anywhere) or self._ends(texts) or self.lists.has_no_facts(texts)

    def _ends(self, texts: Texts) -> bool:
        """Whether the end refuses, or words that stand near each other do."""
        return any(end == len(texts) for _, end in found_in(texts, self.lists.endings)) or self.lists.matches(texts)

    def read(self, text: str, lettered: bool) -> Refusal:
        """As ``refusal.detect_refusal``, of a straightened text, by these lists alone."""
        refused = answered = begun = False
        introduced = False  # by what would be an answer, were no refusal to follow
        for clause in clauses_of(self._without_quotations(text), lettered, self.own):
            words = self._core(clause, lettered)
            of_others = self.lists.is_of_others(_texts(clause.words))
            if spans := [] if of_others else self.refusal_spans(words):
                refused, introduced = True, False
                answered = answered or self.answers_beside(words, spans)
            else:
                asserts = self.asserts(clause, begun)
                answered = answered or introduced or (asserts and not self.may_introduce(clause))
                introduced = asserts
            begun = self.own.by_commas and self._guesses(_texts(clause.words)) and not self._new(clause.words)
        if not refused:
            return "none"
        return "refused_then_answered" if answered or introduced else "refused"

    def _without_quotations(self, text: str) -> str:
        """The text without quoted phrases, where something is said about them: the title of a song, a line of a play. A
        quoted phrase stays where it is all that is said (``The answer is "I don't know".``)."""
        rest = self.lists.without_fillers(_texts(words_of(_QUOTED.sub(" ", text), self.own)))
        if self._is_talk(rest) and not found_in(rest, self.lists.reported):
            return text

        def keep(found: re.Match[str]) -> str:
            inner = self.lists.core(next(filter(None, found.groups())))
            refuses = self._may_refuse(inner) if self.own.inflected else found_in(inner, self.phrases)
            return f" {'Quotation' if self.own.short_answers else MASK} " if refuses else found.group()

        return _QUOTED.sub(keep, text)

    def _core(self, clause: Clause, lettered: bool) -> tuple[Word, ...]:
        """The clause's words without fillers, each of which hands its comma on. ``lettered``: ``A`` is an option."""
        core: list[Word] = []
        comma = False
        fillers = covered(_texts(clause.words), self.lists.fillers)
        for place, word in enumerate(clause.words):
            comma = comma or word.after_comma
            if place not in fillers or (word.raw == "A" and lettered):
                core.append(Word(word.text, word.raw, comma and bool(core), word.capital))
                comma = False
        return tuple(core)

    # -- refusing ----------------------------------------------------------------------------------------------

    def refusal_spans(self, words: tuple[Word, ...]) -> list[tuple[int, int]]:
        """(start, end) of each phrase in a clause (fillers removed) that refuses."""
        texts, lists = _texts(words), self.lists
        shielded = {i + k for shield in self.shields for i in find(texts, shield) for k in range(len(shield))}
        if self.own.by_commas and any(find(shield, texts) for shield in self.shields):
            shielded = set(range(len(texts)))  # a part of a title with a comma in it
        if self.repeats_phrase:
            repeated = [span for span in found_in(texts, self.phrases) if find(self.words, texts[slice(*span)])]
            shielded |= {i for start, end in repeated if end - start < len(texts) for i in range(start, end)}
        for start, end in found_in(texts, self.phrases):
            if self._is_about_something_else(texts, start, end) or self._is_named(words, start):
                shielded |= set(range(start, end))
        spans = found_in(texts, self.phrases)
        spans += [
            (start, end)
            for start, end in found_in(texts, lists.openings)
            if self._begins(words, start)
            and not (self._has_another_object(texts[end:]) or self._names(texts, end))
            and not (words[end:] and self.own.short_answers and self.gives_reference(words[end : end + _NEAR]))
        ]
        spans += [
            (start, end)
            for start, end in found_in(texts, lists.replies)
            if _stands_alone(words, start, end) and texts[start:end] not in self.shields
        ]
        spans = sorted(span for span in spans if not shielded.intersection(range(*span)))
        if spans:
            return spans
        masked = tuple(MASK if i in shielded else text for i, text in enumerate(texts))
        cuts = [0, *(i for i, word in enumerate(words) if i and word.after_comma), len(words)]
        parts = [part for part in itertools.pairwise(cuts) if self._ends(masked[slice(*part)])]
        return parts or [
            part
            for part in itertools.pairwise(cuts)
            if lists.has_no_facts(masked[slice(*part)]) and not self.gives_reference(words[slice(*part)])
        ]

    def _is_about_something_else(self, texts: Texts, start: int, end: int) -> bool:
        """Whether the phrase from ``start`` to ``end`` does not speak of the answer."""
        before, phrase, after = texts[:start], texts[start:end], texts[end:]
        repeats = len(after) > 1 and after[:2] == self.words[:2]  # "I don't know is it a book or a film"
        return (
            (not repeats and self._has_another_object(after))
            or (not repeats and self._is_title(phrase, after))
            or self._is_reported(before, phrase)
            or (self.own.verb_last and bool(found_in(after[:_NEAR], self.lists.reported)))
            or self._is_quoted_from_question(phrase, after)
        )

    def _has_another_object(self, after: Texts) -> bool:
        """``I don't know why you ask``. Where the question asks why, ``I don't know why people do`` is a refusal."""
        asks_why = self.words[:1] == ("why",)
        return _starts(after, self.lists.other_objects) and not (asks_why and after[1:2] != ("you",))

    def _is_quoted_from_question(self, phrase: Texts, after: Texts) -> bool:
        """``I Don't Know How to Love Him is from a musical``, when the question holds these words."""
        for i in find(self.words, phrase):
            tail = self.words[i + len(phrase) :]
            same = next((k for k, pair in enumerate(zip(tail, after, strict=False)) if pair[0] != pair[1]), None)
            run = min(len(tail), len(after)) if same is None else same
            title = not tail or phrase in self.titles
            if run >= 2 or (after and after[0] not in self.own.open_object and (title or run == 1)):
                return True
        return False

    def _is_title(self, phrase: Texts, after: Texts) -> bool:
        """``I Don't Know was written by Paul McCartney``"""
        return phrase[0] in self.own.selves and bool(after) and after[0] in self.own.title_verbs

    def _is_named(self, words: tuple[Word, ...], start: int) -> bool:
        """``Il s'ouvre sur Aucune idée``: a capital within a sentence begins a title, but for ``I`` and after talk."""
        word = words[start]
        is_title = (
            word.capital and not self.own.capital_nouns and word.raw[:1].isupper() and word.raw != word.raw.upper()
        )
        return (
            is_title
            and start > 0
            and not word.after_comma
            and not self._is_talk(_texts(words[max(0, start - _NEAR) : start]))
        )

    def _is_reported(self, before: Texts, phrase: Texts) -> bool:
        """``a song called I Don't Know``, ``not that I know``; but not ``I said I don't know``."""
        if not self.own.reported or phrase[0] not in self.own.selves:
            return False
        if before[-2:] in (("not", "that"), ("you", "think"), ("me", "say")):
            return True
        is_own = before[-2:-1] == ("i",) or before[-3:] in _SELF_REPORTS
        return bool(before) and before[-1] in self.own.reported and not is_own

    def _begins(self, words: tuple[Word, ...], start: int) -> bool:
        """At the beginning of a clause, after a comma, or after mere talk: ``Well it is not known ...``."""
        if start == 0 or words[start].after_comma:
            return True
        return start <= _LONGEST_TALK and self._is_talk(_texts(words[:start]))

    def _is_talk(self, texts: Texts) -> bool:
        """Whether no word adds anything to an answer: ``would``, ``sorry``, ``information``."""
        return len(covered(texts, self.lists.no_answer)) == len(texts)

    def _names(self, texts: Texts, end: int) -> bool:
        """``It is the Unknown Warrior``: a noun follows the word that the statement ends with."""
        return texts[end - 1] == "unknown" and not self._is_talk(texts[end : end + 1])

    # -- answering ---------------------------------------------------------------------------------------------

    def asserts(self, clause: Clause, begun: bool) -> bool:
        """Whether a clause that does not refuse gives an answer, right or wrong. ``begun``: the one before guessed."""
        words, texts = clause.words, _texts(clause.words)
        if self.gives_reference(words):
            return True
        if _starts(texts, self.lists.openers) or found_in(texts, self.lists.advice) or self._is_foreign_letter(texts):
            return False
        if clause.asks and self._echoes_question(texts):  # "Who that was? I cannot say."
            return False
        new = self._new(words)
        if not new:
            return False
        if begun or self._guesses(texts) or _starts(texts, self.lists.leads):
            return True
        if _starts(texts, self.lists.talk) and not (clause.after_turn and self.own.inflected):  # of itself
            return False
        core = self.lists.without_fillers(texts) if self.own.short_answers else texts
        is_short = len(core) <= _LONGEST_SHORT[self.own.unspaced]
        if self.own.short_answers and (is_short or clause.after_turn):
            return True
        echoes = self._echoes_question(texts)
        if len(words) > 2 and not (self.own.unspaced or echoes):  # a sentence begins with a capital, too
            new = [word for word in new if word is not words[0]]
        return _has_capital(new) and (is_short or clause.after_turn or echoes)

    def gives_reference(self, words: tuple[Word, ...]) -> bool:
        """Whether the words hold a reference answer that the question does not, or choose an option."""
        text = " ".join(word.raw for word in words if word.raw)
        if not text or words[0].text == "whether" or _starts(_texts(words), _OPEN_CONDITIONS):
            return False
        if self.question.choices:
            return parse_choice(text, self.question.choices) is not None
        if self.question.match != "normalized":
            return is_right(text, self.question)
        return any(
            contains_answer(text, answer)
            and not contains_answer(self.question.question, answer)
            and not (self.own.inflected and self.lists.core(answer) in self.shields)
            for answer in self.question.answers
        )

    def may_introduce(self, clause: Clause) -> bool:
        """Whether a clause may be the heading of the next one (``Arrangement of words: I don't know.``)."""
        return clause.before_colon and len(clause.words) > 1 and not self.gives_reference(clause.words)

    def answers_beside(self, words: tuple[Word, ...], spans: list[tuple[int, int]]) -> bool:
        """Whether a clause with refusing phrases also gives an answer before the first or after the last of them.

        What stands directly after a phrase is what is not known ("the capital of X"), so only what a comma sets apart
        or a word such as "maybe" begins is taken for an answer.
        """
        if self.own.by_commas:
            return self.gives_reference(words) or self._guesses_beside(words)
        start, end = spans[0][0], max(end for _, end in spans)
        has_comma = start > 0 and words[start].after_comma
        return (has_comma and self._answers_before(words[:start])) or self._answers_after(words[end:])

    def _guesses_beside(self, words: tuple[Word, ...]) -> bool:
        """``Ich weiß nicht vielleicht Lyon``: a guess in a part that refuses, after the phrase."""
        texts, lists = _texts(words), self.lists
        guesses = found_in(texts, lists.guesses)
        if not guesses or found_in(texts, lists.advice):
            return False
        if self.own.unspaced:  # where the guess may also end the part
            refusing = (self.phrases, lists.openings, lists.endings, lists.replies)
            said = set[int]().union(*(covered(texts, phrases) for phrases in refusing))
            left = tuple(word for place, word in enumerate(words) if place not in said)
            return any(said.isdisjoint(range(*guess)) for guess in guesses) and bool(self._new(left))
        after = [words[end:] for _, end in guesses]
        return any(_has_capital(self._new(rest)) and not self.refusal_spans(rest) for rest in after)

    def _answers_before(self, before: tuple[Word, ...]) -> bool:
        """``Probably Paris, I'm not sure``; but not ``As for the capital of France, I don't know``."""
        if self.gives_reference(before):
            return True
        texts, new = _texts(before), self._new(before)
        if new and self._guesses(texts):
            return True
        no_answer = (("as",), ("about",), ("regarding",), ("for",), ("i", "am"), *self.lists.openers)
        return _has_capital(new) and not _starts(texts, no_answer)

    def _answers_after(self, after: tuple[Word, ...]) -> bool:
        """``I don't know maybe Paris``, ``I don't know, Paris``; but not ``I don't know, please ask someone``."""
        if _starts(_texts(after), self.lists.bare_guesses):
            return bool(self._new(after)) or self.gives_reference(after)
        comma = next((k for k, word in enumerate(after) if word.after_comma), None)
        if comma is None:
            return False
        tail = after[comma:]
        if self.gives_reference(tail):
            return True
        texts = _texts(tail)
        if not self._new(tail) or _starts(texts, self.lists.openers):
            return False
        guesses = any(start == 0 for start, _ in found_in(texts, self.lists.guesses))
        return guesses or _starts(texts, self.lists.leads) or (comma == 0 and len(tail) <= 4)

    def _guesses(self, texts: Texts) -> bool:
        """``the capital is, I think, Lyon``"""
        return bool(found_in(texts, self.lists.guesses))

    def _new(self, words: tuple[Word, ...]) -> list[Word]:
        """The words that neither the question nor polite talk explains; runs of characters without spaces."""
        said = covered(_texts(words), self.lists.no_answer)
        left: list[Word] = []
        for place, word in enumerate(words):
            if place in said or word.text == MASK:
                continue
            if self.own.unspaced and left and place - 1 not in said and place:
                word = Word(left.pop().text + word.text, "", False, True)
            left.append(word)
        return [word for word in left if not self._is_asked(word.text)]

    def _is_asked(self, text: str) -> bool:
        """Whether a word is one of the question, where endings differ also with another ending."""
        if self.own.unspaced:
            return text in "".join(self.words)
        if self.own.inflected and len(text) > 3:
            return any(text[:4] == own[:4] for own in self.known if len(own) > 2)
        return text in self.known

    def _is_foreign_letter(self, texts: Texts) -> bool:
        """A letter beyond the options: ``F`` where there are four."""
        return bool(self.question.choices) and len(texts) == 1 and len(texts[0]) == 1

    def _echoes_question(self, texts: Texts) -> bool:
        """Whether a word of the question's subject stands in the clause: ``The capital of France is Lyon``."""
        if self.own.unspaced:
            return any(find(self.words, texts[place : place + 2]) for place in range(len(texts) - 1))
        if self.own.inflected:
            return any(self._is_asked(text) for text in texts if len(text) > 3)
        return any(text in self.known and text not in self.lists.stopwords for text in texts)


def _texts(words: tuple[Word, ...]) -> Texts:
    return tuple(word.text for word in words)


def _starts(words: Texts, openings: tuple[Texts, ...]) -> bool:
    return any(words[: len(opening)] == opening for opening in openings)


def _has_capital(words: list[Word]) -> bool:
    """A new name or number: ``Lyon``, ``1912``."""
    return any(word.capital for word in words)


def _stands_alone(words: tuple[Word, ...], start: int, end: int) -> bool:
    """A whole clause, or a part between commas: ``Unknown, sorry``; not ``an unknown painter``."""
    return (start == 0 or words[start].after_comma) and (end == len(words) or words[end].after_comma)
