"""Texts to work on, and texts to write: rewriting, correcting, summarising, translating, listing, formatting."""

import random

from replay.draft import Draft, spread

REWRITE = [
    "Rewrite this sentence: {sentence}",
    "Rephrase: {sentence}",
    "Say this in other words. {sentence}",
    "Paraphrase the following sentence.\n\n{sentence}",
    "Make this more formal: {sentence}",
    'Word this more politely: "{plain}"',
    "Write this in a friendlier way: {plain}",
    "Rewrite this as a question: {sentence}",
    "Put this sentence into the future tense: {sentence}",
    "Turn this into a newspaper headline: {sentence}",
    "{sentence}\n\nRewrite the sentence so that a child understands it.",
    "Write this the way a pirate would say it: {sentence}",
    "Change the sentence so that it is about {name}: {sentence}",
    "Make this sentence more dramatic: {sentence}",
    "Tone this down a little: {plain} I am really angry!",
    "Rewrite in the first person: {sentence}",
    "rephrase this pls: {plain}",
    'Turn "{plain}" into a friendly request.',
    "Can you say the opposite of this? {plain}",
    "Replace the verb in this sentence by another one: {sentence}",
]

SHORTEN = [
    "Please shorten: {sentence}",
    "Make this shorter. {sentence} {sentence2}",
    "Cut this down to five words: {sentence}",
    "Say this with fewer words: {sentence}",
    "Give me a shorter version of: {sentence}",
    "{sentence} {sentence2}\n\nCan you put that into one short sentence?",
    "This text message is too long, shorten it: {sentence} {sentence2} Love, {name}",
    "Reduce to a title of three words: {sentence}",
]

CORRECT = [
    "Correct this sentence: {wrong}",
    "Fix the grammar: {wrong}",
    "Is this sentence right? {wrong}",
    "Please correct my English. {wrong}",
    "Find the mistakes in this sentence: {wrong}",
    "{wrong}\n\nCorrect the mistakes and explain them.",
    "What is wrong with this sentence? {wrong}",
    "Proofread: {wrong} {wrong2}",
    "Correct only the spelling: {wrong}",
    "fix this: {wrong}",
    'My pupil wrote: "{wrong}" How should it be?',
    "Check this before I send it: Hi {name}, {wrong} See you on {day}.",
]

SUMMARISE = [
    "Summarise this text in one sentence: {sentence} {sentence2} {sentence3}",
    "Summarize: {sentence} {sentence2}",
    "What is this text about?\n\n{sentence} {sentence2} {sentence3}",
    "{sentence} {sentence2} {sentence3}\n\nSum this up in ten words.",
    "Give me the main point: {sentence} {sentence2}",
    "Find a title for this text: {sentence} {sentence2} {sentence3}",
    "TL;DR please: {sentence} {sentence2} {sentence3}",
    "Tell {name} in one sentence what happened: {sentence} {sentence2}",
    "Summarise the message for {person}: Dear all, {event} is moved from {day} to {day2} at {hour}. "
    "Please bring {things}.",
    "Write a summary in bullet points: {sentence} {sentence2} {sentence3}",
]

TRANSLATE = [
    "Into {language}: {plain}",
    "Translate this sentence to {language}: {sentence}",
    'How would you put "{plain}" in {language}?',
    "{plain}\n\nIn {language}, please.",
    'What is "{fruit}" in {language}?',
    'Which {language} word would you use for "{common}"?',
    "Give me the {language} translation of: {sentence}",
    "Translate the words {fruit}, {vegetable} and {animal} into {language}.",
    "How would I say in {language} that I am {feeling}?",
    "translate to {language}: where is {place}",
    "I need this in {language} for a sign: Please do not touch the {things}.",
    "Teach me {few} useful phrases in {language}.",
]

WRITE = [
    "Write a short poem about {topic}.",
    "Write a story of three sentences about {topic}.",
    "Write a mail to {person} about {event}.",
    "Write an invitation to {event} on {day} at {hour}.",
    "Write a haiku about {topic}.",
    "Describe {place} in two sentences.",
    "Write a dialogue between a {job} and a {job2} about {topic}.",
    "Write an advertisement for a {colour} {thing}.",
    "Write a slogan for a shop that sells {things}.",
    "Write a diary entry of a {animal}.",
    "Write a letter to {person} to say that I am {feeling}.",
    "Write a short product description of a {thing}.",
    "Write a song verse about {topic}.",
    "Write one paragraph about {issue}.",
    "Continue the story: {sentence}",
    "Finish this sentence: When {name} opened the door of the {room},",
    "Make up a sentence with the words {animal}, {thing} and {fruit}.",
    "Write a text message to {name}: I come {number} minutes late to {place}.",
    "Write a birthday wish for a {job}.",
    "Write a joke about a {animal} and a {job}.",
    "short poem about a {animal} please",
]

LISTS = [
    "List {few} {colour} things.",
    "Name {few} animals that are smaller than a {animal}.",
    "Give me a list of {few} things that one finds in a {room}.",
    "List the ingredients of {dish}.",
    "List {few} words that begin with the same letter as {fruit}.",
    "Write a list of things to take to {place}.",
    "List {few} tools that a {job} needs.",
    "Name {few} vegetables and {few2} fruits.",
    "List {few} advantages of {issue}.",
    "Give {few} examples of things made of wood in a {room}.",
    "Name {few} sports that need a ball.",
    "List {few} kinds of weather.",
    "List {few} things that people do in {season}.",
    "What are {few} things that I need for {hobby}?",
    "Name {few} words that describe a {feeling} person.",
    "List {few} synonyms of the word {feeling}.",
    "{number} things to do at {place}",
    "Give me {number} words about {topic}, one on each line.",
    "Name {few} jobs in which people work outdoors.",
    "Make a shopping list for {dish}.",
]

CLASSIFY = [
    "Is this review positive or negative? {review}",
    "Classify the sentiment as positive, negative or neutral: {review}",
    "{review}\n\nSentiment?",
    "Does the customer sound happy? {review}",
    "Which category fits this headline: sports, politics, economy, science or culture? {headline}",
    "Label the headline with one word: {headline}",
    "Is a {fruit} a fruit or a vegetable?",
    "Sort these into animals and things: {animal}, {thing}, {animal2}, {thing2}",
    "Which word does not belong: {fruit}, {fruit2}, {thing}, {fruit3}?",
    "Is this a question, a request or a statement? {plain}",
    "Formal or informal? {plain}",
    "Is the following mail urgent? Hi {name}, {plain} Thanks, {name2}",
    'What is the tone of this message: "{plain}"',
    "Tag each word as food or furniture: {fruit}, table, {vegetable}, sofa.",
    "Spam or not spam? Congratulations {name}, you have won {large} {things}!",
    "Give a rating from 1 to 5 stars that fits this review: {review}",
    "Which feeling is expressed here? I could hardly wait for {event}.",
]

EXTRACT = [
    "Find the name in this sentence: On {day} {name} went to {place}.",
    "Which day is mentioned? The {job} comes on {day} at {hour}.",
    "Extract the numbers: We sold {mid} {things}, {small} {things2} and {large} {fruits}.",
    "List all persons in the text: {name}, {name2} and {name3} met at {place} in {town}.",
    "Extract the time and the place: {event} starts at {hour} in {town}.",
    "Pull out the e-mail address: Write to {name}.office@example.com before {day}.",
    "What are the colours in this text? A {colour} {thing} stood beside a {colour2} {thing2}.",
    "Give me only the price: The {thing} costs {mid} euros and comes with {small} {things}.",
    "Extract all nouns: {sentence}",
    "Underline the verbs by putting them in capitals: {sentence}",
    "Copy the last word of this sentence: {sentence}",
    "Which foods are named here? For {dish} you need a {vegetable}, some {fruits} and salt.",
    "From this note, extract who has to do what: {name} brings {things}, {name2} books {place}.",
    "Extract the order number: Dear {name}, your order {large}-{mid} is on its way.",
]

FORMAT = [
    "Write this as JSON: name {name}, age {mid}, city {town}",
    "Turn this into a table: {name} has {small} {things}, {name2} has {small2} {things}.",
    "Make a bullet list out of this: {fruits}, {things}, {things2} and {fruits2}",
    "Sort this list from A to Z: {animal}, {fruit}, {thing}, {vegetable}",
    "All caps, please: {plain}",
    "Write the date {number} {month} in the form day/month.",
    "Format as CSV with a header: {name} {mid} {town}; {name2} {mid2} {town2}",
    "Number these steps: open the {thing}, take out the {things}, close it again.",
    "Write the numbers {small}, {mid} and {large} in words.",
    "Convert this to a Markdown heading and a list: Things for {event}: {things}, {things2}, {fruits}",
    "Give me a JSON object with the keys fruit, colour and price for a {fruit}.",
    "Write {hour} in the 24-hour format.",
    "Separate the words with semicolons: {animal} {animal2} {thing} {fruit}",
    "Write the word {common} backwards.",
    "Answer in YAML: item {thing}, colour {colour}, amount {small}",
    "Put every word of this sentence on its own line: {plain}",
]

COMPARE = [
    "What is the difference between a {animal} and a {animal2}?",
    "Compare {hobby} and {hobby2}.",
    "Which is bigger, a {animal} or a {animal2}?",
    "Compare a {fruit} with a {fruit2} in one sentence.",
    "What do a {job} and a {job2} have in common?",
    "Compare {season} and {season2} in a small table.",
    "Name one similarity and one difference between a {thing} and a {thing2}.",
    "How does {dish} differ from {dish2}?",
    "Which is heavier, a {thing} or a {fruit}?",
    "{language} or {language2}: which one is easier for an English speaker, and why?",
    "Compare the pros and cons of {issue} and {issue2}.",
    "whats better for beginners {codelang} or {codelang2}",
    "Is {hobby} more expensive than {hobby2}?",
]

DEFINE = [
    "What is a {common}?",
    "Define the word {common}.",
    'What does the word "{common}" mean?',
    "Explain {concept} in one sentence.",
    "What is {concept}?",
    "Explain {concept} to a six-year-old.",
    "What does {abstract} mean?",
    "Give a short definition of {abstract} and an example.",
    "What does a {job} do?",
    "What is a {thing} used for?",
    "Use the word {common} in a sentence.",
    "Give me a synonym of {feeling}.",
    "Explain the word {abstract} without using the word itself.",
    "Is {abstract} a good or a bad thing?",
    "meaning of {abstract}",
    "what is {concept} in simple words",
    "How would you explain a {common} to someone who has never seen one?",
]


def drafts(rng: random.Random) -> list[Draft]:
    """All rows of this module."""
    rows: list[Draft] = []
    for kind, templates, n in (
        ("rewriting", REWRITE, 145),
        ("shortening", SHORTEN, 70),
        ("correction", CORRECT, 110),
        ("summary", SUMMARISE, 100),
        ("translation", TRANSLATE, 120),
        ("writing", WRITE, 145),
        ("list", LISTS, 130),
        ("classification", CLASSIFY, 130),
        ("extraction", EXTRACT, 110),
        ("formatting", FORMAT, 110),
        ("comparison", COMPARE, 100),
        ("definition", DEFINE, 140),
    ):
        rows += spread(kind, "templates", templates, n, rng)
    return rows
