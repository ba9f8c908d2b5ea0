"""Numbers, code, and what everybody knows."""

import random

from replay.draft import Draft, single, spread
from replay.words import lines


def _numbers(rng: random.Random) -> list[Draft]:
    rows: dict[str, None] = {}
    forms = (
        lambda a, b: f"What's {a} + {b}?",
        lambda a, b: f"{a} + {b}",
        lambda a, b: f"{a}+{b}=",
        lambda a, b: f"{a} - {b} = ?" if a > b else f"{b} - {a} = ?",
        lambda a, b: f"Subtract {min(a, b)} from {max(a, b)}.",
        lambda a, b: f"What is the sum of {a} and {b}?",
        lambda a, b: f"Multiply {a} by {b}.",
        lambda a, b: f"What's {a % 12 + 2} x {b % 12 + 2}?",
        lambda a, b: f"{(a % 12 + 2) * (b % 9 + 2)} divided by {b % 9 + 2}",
        lambda a, b: f"What is {b % 9 * 10 + 10}% of {a * 10}?",
        lambda a, b: f"Is {a * b} an even number?",
        lambda a, b: f"Which number is larger, {a} or {b}?",
        lambda a, b: f"Round {a}.{b} to a whole number.",
        lambda a, b: f"Double {a} and then add {b}.",
        lambda a, b: f"What is the difference between {max(a, b)} and {min(a, b)}?",
        lambda a, b: f"Put these numbers in order: {a}, {b}, {a + b}, {abs(a - b)}",
        lambda a, b: f"Continue the series: {a}, {a + b}, {a + 2 * b}, ...",
        lambda a, b: f"Compute ({a} + {b}) * 2.",
        lambda a, b: f"What is {a} squared?",
        lambda a, b: f"Solve for x: x + {a} = {a + b}",
        lambda a, b: f"calc {a} times {b % 9 + 2}",
        lambda a, b: f"Convert {a} minutes to hours and minutes." if a > 60 else f"Convert {a} days to weeks and days.",
        lambda a, b: f"Write {a}/{a * 2} as a decimal.",
        lambda a, b: f"Count down from {a % 10 + 5} to 1.",
        lambda a, b: f"What is the average of {a}, {b} and {a + b}?",
    )
    for turn in range(150):
        a, b = rng.randint(3, 99), rng.randint(3, 99)
        rows[forms[turn % len(forms)](a, b + (a == b))] = None
    return [single("arithmetic", "numbers", text) for text in rows]


PROBLEMS = [
    "{name} has {mid} {things} and gives {small} to {name2}. How many are left?",
    "A box holds {small} {things}. How many {things} are in {small2} boxes?",
    "{name} buys {small} {fruits} for {small2} euros each. What does that come to?",
    "There are {mid} children on a bus. At {place} {small} get off. How many stay on the bus?",
    "{name} walks {small} kilometres every day. How far is that in a week?",
    "A {thing} costs {mid} dollars. It is reduced by {small} dollars. What is the new price?",
    "The train leaves at {hour} and needs {small} hours. When does it arrive?",
    "{name} is {mid} years old. How old will {name} be in {small} years?",
    "{name} reads {mid} pages a day. How many pages are that in {small} days?",
    "If {small} {things} cost {mid} euros, what do twice as many cost?",
    "A farmer has {small} cows and {small2} ducks. How many legs do they have together?",
    "{name} shares {mid} {things} equally with {name2}. How many does each get, and is one left over?",
    "A recipe for {small} people needs {large} grams of flour. How much is needed for twice as many people?",
    "There are {large} seats in the hall, and {mid} are empty. How many people sit there?",
    "{name} saves {mid} euros a month. How much is it after {small} months?",
    "{name} had {small} {things} and found {mid} more. How many does {name} have now?",
    "{name} sleeps {number} hours every night. How many hours is that from {day} to {day2}?",
    "Each of the {small} shelves holds {mid} books. How many books are there in all?",
]

EXPLAIN_CODE: tuple[str, ...] = (
    "What does this code do?\n\n{}",
    "Explain this code:\n{}",
    "{}\n\nWhat does this print or return?",
    "Explain line by line:\n\n```\n{}\n```",
    "I found this in a script. What is it for?\n{}",
    "Add comments to this code:\n{}",
    "Can this be written more simply?\n\n{}",
)

FIX_CODE: tuple[str, ...] = (
    "Fix this code:\n\n{}",
    "What is wrong here?\n{}",
    "{}\n\nWhy does this not work?",
    "Find the bug:\n```\n{}\n```",
    "I get an error. Can you correct it?\n{}",
)

WRITE_CODE = [
    "Write a {codelang} function that returns the largest of {few} numbers.",
    "Write a {codelang} program that asks for a name and says hello.",
    "Write {codelang} code that prints the numbers from {small} to {mid}.",
    "Write a {codelang} function that counts how often the word {common} occurs in a text.",
    "How do I write a loop in {codelang}?",
    "How do I declare a variable in {codelang}?",
    "Show me an example of a function in {codelang}.",
    "Write a {codelang} class for a {thing}.",
    "Write a {codelang} list with {few} names of {animal} breeds and print it.",
    "Write a function in {codelang} that computes the price of {things} with a discount of {mid} percent.",
    "How do I write a comment in {codelang}?",
    "{codelang}: split a string at commas",
    "Write a SQL query that finds all {things} cheaper than {mid}.",
    "Write a JSON example for a shop that sells {things} and {fruits}.",
]

OPPOSITES = (
    "old|happy|early|dry|strong|thick|rich|brave|soft|sweet|cold|full|slow|left|day|up|easy|long|north|black|win|buy|push"
    "|laugh|first"
)

COMMON = [
    "How many legs does a {animal} have?",
    "What colour is a {fruit}?",
    "What sound does a {animal} make?",
    "Is a {animal} bigger than a bus?",
    "Can you eat a {thing}?",
    "What does a {animal} eat?",
    "Which month comes after {month}?",
    "Which month comes before {month}?",
    "Which day comes two days after {day}?",
    "Is it warmer in {season} or in {season2}?",
    "What can you do with a {thing}?",
    "Where do you find a {thing} in a house?",
    "What do people buy at {place}?",
    "How do you spell {vegetable}?",
    "How many letters does the word {common} have?",
    "What is the first letter of the word {common}?",
    "Which is sweeter, a {fruit} or a {vegetable}?",
    "Name a fruit that is {colour}.",
    "Is {colour} a colour?",
    "Is {month} in the first half of the year?",
]


def drafts(rng: random.Random) -> list[Draft]:
    """All rows of this module."""
    rows = spread("everyday", "templates", COMMON, 130, rng)
    for turn, word in enumerate(OPPOSITES.split("|")):
        forms = ("What is the opposite of {}?", "Give me the opposite of {}.", "opposite of {}", "Opposite: {} -> ?")
        rows.append(single("everyday", "opposites", forms[turn % len(forms)].format(word)))
    rows += _numbers(rng)
    rows += spread("word-problem", "templates", PROBLEMS, 130, rng)
    rows += spread("code-writing", "templates", WRITE_CODE, 80, rng)
    for kind, file, snippet_forms in (("code-explaining", "code", EXPLAIN_CODE), ("code-fixing", "broken", FIX_CODE)):
        snippets = [line.replace("\\n", "\n") for line in lines(file)]
        for turn in range(3 * len(snippets)):
            form = snippet_forms[(turn + turn // len(snippets)) % len(snippet_forms)]
            rows.append(single(kind, "snippets", form.replace("{}", snippets[turn % len(snippets)])))
    return rows
