"""WorldFacts as people write it into sets for SFT: questions with lead-ins, answers in sentences.

``python -m research.rewriting.sentences`` prints which relations are seen as questions of fact, and with which key.
"""

import random
import re
from collections import Counter

from grait.data.worldfacts import SPLITS, load
from grait.judging.matching import is_correct
from grait.knowledge.facts import Fact, asked_fact
from grait.records import Question

STATEMENTS = {
    "person_birth_year": ("{s} was born in {a}.", "{a} is the year in which {s} was born."),
    "person_occupation": ("{s} was a {a}.", "{s} worked as a {a}."),
    "city_country": ("{s} is in {a}.", "The city of {s} is located in {a}."),
    "uscity_state": ("{s} is in {a}.", "{s} is a city in the state of {a}."),
    "language_extension": ("{s} source files have the extension {a}.", "They usually end in {a}."),
    "country_demonym": ("A person from {s} is called {a}.", "People from {s} are known as {a}."),
    "code_language": ("'{s}' is the code of {a}.", "It stands for the {a} language."),
    "country_independence_year": ("{s} became independent in {a}.", "{s} gained its independence in {a}."),
    "constellation_abbr": ("{s} stands for {a}.", "The constellation is {a}."),
    "person_nationality": ("{s} was {a}.", "The nationality of {s} was {a}."),
    "capital_country": ("{s} is the capital of {a}.", "It is the capital of {a}."),
    "feature_country": ("It is in {a}.", "{s} lies in {a}."),
    "country_continent": ("{s} is located in {a}.", "{s} is a country in {a}."),
    "country_exonym": ("In {l} {s} is called {a}.", "The {l} name is {a}."),
    "language_endonym": ("Its speakers call it {a}.", "The {s} language is called {a} by its speakers."),
    "country_tld": ("The top-level domain of {s} is {a}.", "It is {a}."),
    "day_translation": ("{s} is {a} in {l}.", "The {l} word for {s} is {a}."),
    "element_symbol": ("The chemical symbol of {s} is {a}.", "The symbol is {a}."),
    "extension_language": ("{s} files are written in {a}.", "The extension {s} belongs to {a}."),
    "country_national_day": ("{s} celebrates it on {a}.", "It is celebrated on {a}."),
    "country_currency": ("The official currency of {s} is the {a}.", "They use the {a}."),
    "tld_country": ("{s} is the top-level domain of {a}.", "The domain {s} belongs to {a}."),
    "element_discoverer": ("{a} discovered {s}.", "It was discovered by {a}."),
    "compound_formula": ("The molecular formula of {s} is {a}.", "Its formula is {a}."),
    "element_group": ("The group number of {s} is {a}.", "It is in group {a}."),
    "country_iso2": ("The code of {s} is {a}.", "It is {a}."),
    "area_code_state": ("The area code {s} is used in {a}.", "It is used in {a}."),
    "country_currency_code": ("The code of its currency is {a}.", "It is {a}."),
    "calling_code_country": ("{s} is the calling code of {a}.", "It belongs to {a}."),
    "month_translation": ("{s} is {a} in {l}.", "The {l} name of {s} is {a}."),
    "country_anthem": ("The national anthem of {s} is called {a}.", 'Its title is "{a}".'),
    "element_period": ("{s} is in period {a}.", "It is in period {a} of the periodic table."),
    "number_element": ("The element with atomic number {s} is {a}.", "It is {a}."),
    "country_calling_code": ("The calling code of {s} is {a}.", "You dial {a}."),
    "language_code": ("The code of the {s} language is {a}.", "It is {a}."),
    "element_number": ("The atomic number of {s} is {a}.", "{s} has the atomic number {a}."),
    "country_neighbour_any": ("One country that borders {s} is {a}.", "{s} has a border with {a}."),
    "country_language": ("The official language of {s} is {a}.", "In {s} it is {a}."),
    "country_independent_from": ("{s} gained independence from {a}.", "It became independent from {a}."),
    "country_highest_point": ("The highest point in {s} is {a}.", "It is {a}."),
    "country_largest_city": ("The most populous city in {s} is {a}.", "{a} is the largest city in {s}."),
    "greek_letter_order": ("The {s} letter of the Greek alphabet is {a}.", "It is {a}."),
    "battle_year": ("It took place in {a}.", "It was fought in {a}."),
    "country_capital": ("The capital of {s} is {a}.", "{a} is the capital of {s}."),
    "us_president_number": ("The {s} President was {a}.", "{a} was the {s} President of the United States."),
    "element_category": ("{s} belongs to the category {a}.", "It is classed as {a}."),
    "symbol_element": ("{s} is the symbol of {a}.", "The element with the symbol {s} is {a}."),
    "element_year": ("{s} was discovered in {a}.", "It was discovered in {a}."),
    "language_script": ("{s} is usually written in the {a} script.", "The script is {a}."),
    "feature_us_state": ("It is in {a}.", "{s} is in {a}."),
    "country_only_neighbour": ("It is {a}.", "The only country that borders {s} is {a}."),
    "animal_class": ("The {s} belongs to the class of {a}.", "The {s} is a kind of {a}."),
    "species_latin_name": ("Its scientific name is {a}.", "The scientific name of the {s} is {a}."),
    "airport_city": ("The airport {s} serves {a}.", "{s} is the code of the airport of {a}."),
    "person_death_year": ("{s} died in {a}.", "The year of death is {a}."),
    "capital_state": ("{s} is the capital of {a}.", "It is the capital of {a}."),
    "state_abbr": ("The abbreviation of {s} is {a}.", "It is {a}."),
    "state_year": ("{s} became a state in {a}.", "It joined the Union in {a}."),
    "latin_species_name": ("{s} is the scientific name of the {a}.", "It is the {a}."),
    "antonym": ("The opposite of {s} is {a}.", "It is {a}."),
    "state_capital": ("The capital of {s} is {a}.", "{a} is the capital."),
}
WHOLE = ("{a}", "{a}.", "It is {a}.", "The answer is {a}.")
LEADS = ("", "", "", "Can you tell me: ", "Please tell me: ", "Hello! ", "Quick question: ", "Do you know? ")


def in_sentences(question: Question, seed: int) -> tuple[str, str]:
    """The question with a lead-in, and its reference answer in a sentence of its relation or of any."""
    rng = random.Random(f"{seed}\0{question.id}")
    found = re.fullmatch(r"(.*?) \((.*)\)", str(question.subject))
    of_its_own = question.relation in ("day_translation", "month_translation", "country_exonym")
    subject, language = (found[1], found[2]) if found and of_its_own else (str(question.subject), "")
    template = rng.choice((*STATEMENTS[str(question.relation)], rng.choice(WHOLE)))
    said = template.format(s=subject, l=language, a=question.answers[0])
    return rng.choice(LEADS) + question.question, said[:1].upper() + said[1:]


def main() -> None:
    n: Counter[str] = Counter()
    found: Counter[str] = Counter()
    right: Counter[str] = Counter()
    odd = []
    for question in (question for split in SPLITS for question in load(split)):
        asked, said = in_sentences(question, 0)
        fact, relation = asked_fact(asked, said), str(question.relation)
        n[relation] += 1
        if isinstance(fact, Fact):
            found[relation] += 1
            is_right = is_correct(f"It is {question.answers[0]}.", fact.question)
            right[relation] += is_right
            if not is_right:
                odd.append(f"{relation}: {asked} {said} -> {fact.question.answers}")
        else:
            odd.append(f"{relation}: {asked} {said} -> {fact}")
    for relation in n:
        print(f"{relation}: {found[relation]} of {n[relation]} found, {right[relation]} with the reference as key")
    print(f"all: {found.total() / n.total():.3f} found, {right.total() / found.total():.3f} of them with the reference")
    for line in random.Random(0).sample(odd, min(len(odd), 60)):
        print(line)


if __name__ == "__main__":
    main()
