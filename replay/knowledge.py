"""Numbers, code, and what everybody knows."""

import random

from replay.draft import Draft, seeds, single, spread

EVERYDAY = """
What colour is the sky on a clear day?
How many days does a week have?
What is the opposite of hot?
How many legs does a spider have?
What do bees make?
Which season comes after winter?
How many months are in a year?
What do you call a baby cat?
What colour do you get when you mix blue and yellow?
Is the sun a star?
What do cows drink?
How many wheels does a bicycle have?
What is frozen water called?
Which animal says moo?
What comes after Tuesday?
How many letters are in the English alphabet?
Which is the first month of the year?
What is the past tense of "go"?
What is the plural of "mouse"?
What shape has four equal sides?
How many hours are in a day?
What do we use to cut paper?
At what temperature does water freeze in degrees Celsius?
At what temperature does water boil at sea level?
Where does the sun rise?
What do fish breathe with?
How many fingers does a hand have?
What do you wear on your feet?
Which planet do we live on?
What gas do we need to breathe?
Is a tomato red or blue?
How many cents are in a dollar?
How many seconds are in a minute?
What is the colour of grass?
Which bird cannot fly but swims very well?
What do you call the meal in the morning?
Which meal do people eat at noon?
How many sides does a triangle have?
What do plants need to grow?
Which animal is known as man's best friend?
What does a thermometer measure?
Can penguins fly?
Is ice heavier or lighter than water?
What do caterpillars turn into?
Where do birds lay their eggs?
Which is faster, a car or a bicycle?
What is the largest animal in the sea?
What do you do with a key?
What is bread made of?
Where does milk come from?
Do snakes have legs?
What do we see at night in the sky?
Is a whale a fish?
What is 100 centimetres in metres?
How many grams are in a kilogram?
What is the day before Saturday called?
What is the day after tomorrow if today is Monday?
Which hand has the thumb on the left when you look at its back?
What does a clock show?
What is the opposite of up?
What is the opposite of empty?
What is the opposite of "always"?
What rhymes with "light"?
Which letter comes after M?
Which vowel is in the word "sun"?
How many vowels does the word "banana" have?
How do you spell the number 8?
Spell the word "necessary".
Which word is longer, "elephant" or "ant"?
Who works in a hospital?
What do firefighters do?
What is a baby dog called?
Which meal has cereal and toast?
What do you need when it rains?
Why do people wear coats in winter?
Why do we brush our teeth?
Why do leaves fall in autumn?
Why is the sea salty?
Why do cats purr?
Why does ice float?
Why do we sleep?
Why do we have leap years?
Why is it dark at night?
how many days in february
whats the color of an orange
how many minutes are in an hour
2 weeks are how many days
is water wet
Does the moon shine by itself?
Which sense do we use with our ears?
What is honey made from?
What does a vegetarian not eat?
What instrument has black and white keys?
How many strings does a violin have?
In which sport do you use a racket?
How many players does a football team have on the pitch?
Which piece is the most important in chess?
What colour is a ripe banana?
What do you call the child of your aunt?
What is your mother's mother called?
Which ball is bigger, a tennis ball or a basketball?
Which animals live in a beehive?
What do you use an umbrella for?
Which is warmer, wool or paper?
True or false: a square has five corners.
True or false: the Earth is round.
True or false: cats are birds.
True or false: fire is cold.
Complete: red, orange, yellow, green, ...
Complete the proverb: Better late than ...
Complete the proverb: An apple a day keeps ...
What does the proverb "Practice makes perfect" mean?
What does "to kill two birds with one stone" mean?
What does "it's raining cats and dogs" mean?
What does ASAP mean?
What does FAQ stand for?
What does "etc." mean?
"""

CODE = """
def add(a, b):\\n    return a - b
for i in range(5):\\n    print(i * i)
x = [n for n in range(10) if n % 2 == 0]
print("Hello, world!")
while True:\\n    pass
def greet(name):\\n    return f"Hello, {name}!"
total = sum(prices) / len(prices)
if age > 18:\\n    print("adult")\\nelse:\\n    print("minor")
words = text.split()\\nprint(len(words))
with open("notes.txt") as file:\\n    print(file.read())
a, b = b, a
squares = {n: n * n for n in range(4)}
names = sorted(names, key=len)
return " ".join(reversed(words))
let items = list.filter(x => x > 3);
const total = prices.reduce((a, b) => a + b, 0);
SELECT name FROM customers WHERE city = 'Rome';
SELECT COUNT(*) FROM orders;
ls -l | wc -l
grep -r "TODO" src
git commit -m "Fix typo"
if not items:\\n    return None
try:\\n    value = int(text)\\nexcept ValueError:\\n    value = 0
import random\\nprint(random.choice(["heads", "tails"]))
def fact(n):\\n    return 1 if n == 0 else n * fact(n - 1)
s = "abc"[::-1]
"""

BROKEN = """
print("Hello)
for i in range(10)\\n    print(i)
def area(w, h)\\n    return w * h
if x = 3:\\n    print("three")
numbers = [1, 2, 3\\nprint(numbers)
def double(x):\\nreturn x * 2
average = total / 0
print("Age: " + 42)
whille True:\\n    break
items = [1, 2, 3]\\nprint(items[3])
name = input("Name? "\\nprint(name)
def is_even(n):\\n    return n % 2 == 1
def largest(a, b):\\n    return a if a < b else b
for item in items:\\n    items.remove(item)
let x = 5;\\nx.push(3);
SELECT * FORM users;
const total = 0;\\ntotal = total + 5;
int x = "five";
"""

CODE_TASKS = """
Write a function that reverses a string.
Write a function that checks whether a number is prime.
Write a Python function that counts the vowels in a word.
Write a regular expression for a date like 2024-05-17.
Write a SQL query that lists all customers from Berlin.
Write a shell command that counts the lines of all text files.
Write an HTML page with a heading and a list.
Write a CSS rule that makes all links green.
Write a Python one-liner that sums the squares of 1 to 10.
Write a program that prints the multiplication table of 7.
Write a function that removes duplicates from a list.
Write a test for a function that adds two numbers.
Write a loop that prints every second number from 2 to 20.
Write a class for a bank account with deposit and withdraw.
Write a function that turns Celsius into Fahrenheit.
Write code that reads a CSV file and prints the first column.
Write a function that tells whether a word is a palindrome.
Write FizzBuzz.
hello world in java
python code to sort a list of names
How do I sort a dictionary by value in Python?
How do I read a file line by line in Python?
What is the difference between a list and a tuple in Python?
What does "import" do in Python?
What is a variable?
What is a loop in programming?
What is recursion?
What does HTML stand for?
What is a function in programming?
How do I undo the last git commit?
How do I center a div in CSS?
"""


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
        lambda a, b: f"how much is {a} times {b % 9 + 2}",
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
    "{name} buys {small} {fruits} for {small2} euros each. How much does she pay?",
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

EXPLAIN_CODE = (
    "What does this code do?\n\n{}",
    "Explain this code:\n{}",
    "{}\n\nWhat does this print or return?",
    "Explain line by line:\n\n```\n{}\n```",
    "I found this in a script. What is it for?\n{}",
    "Add comments to this code:\n{}",
    "Can this be written more simply?\n\n{}",
)

FIX_CODE = (
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

OPPOSITES = "big|old|fast|light|happy|open|early|clean|dry|strong|loud|thick|cheap|near|wide|full|rich|brave|soft|tall"

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
    rows = seeds("everyday", EVERYDAY) + seeds("code-writing", CODE_TASKS)
    rows += spread("everyday", "templates", COMMON, 130, rng)
    for turn, word in enumerate(OPPOSITES.split("|")):
        forms = ("What is the opposite of {}?", "Give me the opposite of {}.", "opposite of {}", "Opposite: {} -> ?")
        rows.append(single("everyday", "opposites", forms[turn % len(forms)].format(word)))
    rows += _numbers(rng)
    rows += spread("word-problem", "templates", PROBLEMS, 130, rng)
    rows += spread("code-writing", "templates", WRITE_CODE, 80, rng)
    for kind, text, forms in (("code-explaining", CODE, EXPLAIN_CODE), ("code-fixing", BROKEN, FIX_CODE)):
        snippets = [line.replace("\\n", "\n") for line in text.strip().splitlines()]
        for turn in range(3 * len(snippets)):
            form = forms[(turn + turn // len(snippets)) % len(forms)]
            rows.append(single(kind, "snippets", form.replace("{}", snippets[turn % len(snippets)])))
    return rows
