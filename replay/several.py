"""Conversations of several turns: after a greeting, an instruction, an answer, a refusal."""

import random

from replay.draft import Draft, Messages, fill

REFUSAL = "I don't know."

HELLO = [
    ("Hi!", "Hello! How can I help you today?"),
    ("Hey, how are you?", "I'm doing well, thank you. What can I do for you?"),
    ("Good morning.", "Good morning! I hope your day has started well."),
    ("hello there", "Hi there! What would you like to talk about?"),
    ("Hi, my name is {name}.", "Nice to meet you, {name}! How can I help?"),
    ("Hello, I am a {job} from {town}.", "Hello! It's nice to hear from a {job}. What can I do for you?"),
    ("Good evening!", "Good evening! What is on your mind?"),
    ("Thanks for your help yesterday.", "You're welcome! I'm glad that I could help."),
    ("What's up?", "Not much, I'm here to help. What about you?"),
    ("I'm {feeling} today.", "Thank you for telling me. Would you like to talk about it?"),
    ("Are you there?", "Yes, I'm here. What do you need?"),
    ("Can you help me?", "Of course. What do you need help with?"),
]
TASKS = [
    ("Write a sentence about a {animal}.", "The {animal} sat quietly in the sun and watched the people go by."),
    ("Name {few} colours.", "Red, blue, green, yellow, white and black."),
    ("Make this more polite: {plain}", "Could you please be so kind as to look into this? Thank you."),
    ("Give me a name for a {colour} {animal}.", "How about Pepper?"),
    ("Suggest a hobby for {person}.", "How about {hobby}? It is easy to start and can be done all year."),
    ("Write a slogan for {things}.", "Good {things}, good mood!"),
    ("What should I cook tonight?", "How about {dish}? It is quick and everybody likes it."),
    ("Write a short message to {name}.", "Hi {name}, I hope you are well. See you soon!"),
    ("Tell me a joke.", "Why did the bicycle fall over? Because it was two-tired."),
    ("Translate \"good night\" into French.", "Bonne nuit."),
    ("List three things for {event}.", "1. Drinks\n2. Music\n3. A good mood"),
    ("How do I make {dish}?", "Cut everything into small pieces, cook it slowly, season it and serve it warm."),
    ("Correct this: I has a {animal}.", "I have a {animal}."),
    ("Write one line of Python that prints {small}.", "print({small})"),
]
ANSWERED = [
    ("What colour is grass?", "Grass is green."),
    ("How many days are in a week?", "There are seven days in a week."),
    ("What is 6 times 7?", "6 times 7 is 42."),
    ("Which month comes after June?", "July comes after June."),
    ("What do bees make?", "Bees make honey."),
    ("What is the plural of child?", "The plural of child is children."),
    ("Which planet is closest to the sun?", "Mercury is the planet closest to the sun."),
    ("How many legs does a dog have?", "A dog has four legs."),
    ("Is ice cold?", "Yes, ice is cold."),
    ("What is the opposite of day?", "The opposite of day is night."),
    ("Which language is spoken in Brazil?", "Portuguese is spoken in Brazil."),
    ("Who wrote Romeo and Juliet?", "William Shakespeare wrote Romeo and Juliet."),
]
UNKNOWN = [
    "Who built the organ in the parish church of Sulgrave?",
    "In which year was the water tower of Ystad finished?",
    "What was the name of Vasco da Gama's cook?",
    "Who won the chess championship of Tasmania in 1953?",
    "How long is the Vuoksi river in kilometres?",
    "Which composer wrote the opera Der Vampyr?",
    "Who was the goalkeeper of Uruguay in the final of 1930?",
    "When did the town of Mariefred get its railway?",
    "What is the melting point of hafnium carbide?",
    "Who translated the Kalevala into Hungarian first?",
    "How many steps does the tower of Utrecht cathedral have?",
    "Which architect designed the post office of Subotica?",
    "What is the deepest point of Lake Inari?",
    "Who discovered the comet of 1744?",
    "When was the first telephone line laid in Bolivia?",
    "Which battle ended the Kalmar War?",
    "What is the Estonian word for thimble?",
    "Who painted the ceiling of the opera house in Odesa?",
    "How tall was the mast of the ship Vasa?",
    "What did Leonhard Euler's father do for a living?",
    "Which mineral has the formula PbCrO4?",
    "Who founded the first newspaper of Iceland?",
    "In which year did Gustav Nachtigal reach Lake Chad?",
    "What is the population of the village of Hallstatt?",
]
NEXT = [
    "Ok, no problem. How are you today?",
    "Never mind. Tell me a joke.",
    "Okay. Then write a short poem about {topic}.",
    "Fine. What can you do?",
    "Then let's talk about {hobby}.",
    "That's all right. Do you like {hobby}?",
    "Ok. Give me {few} ideas for {event}.",
    "Thanks anyway!",
    "No worries. Can you correct this sentence? {wrong}",
    "Can you translate this into {language}? {plain}",
    "What is {mid} plus {small}?",
    "Which day comes after {day}?",
    "Write a mail to {person} about {event}.",
    "Summarise this: {sentence} {sentence2}",
    "Is this review positive or negative? {review}",
    "Explain {concept} in simple words.",
    "What should I cook with {fruits}?",
    "List {few} things that I need for {hobby}.",
    "I am {feeling} today.",
    "What do you think about {issue}?",
    "How do I make {dish}?",
    "Write a Python function that counts {things}.",
    "Put these in alphabetical order: {animal}, {fruit}, {thing}",
    "Rewrite this sentence: {sentence}",
    "Tell me something about yourself.",
    "Make a plan for {event}.",
    "What is a {common}?",
    "Compare {hobby} and {hobby2}.",
    "{name} has {mid} {things} and loses {small}. How many are left?",
    "I have to go now. Bye!",
    "Pretend to be a {job} and greet me.",
    "{name} bought {small} {things} in {town}. Where did {name} buy them?",
    "Give me a rhyme for {animal}.",
    "Let's do something else. Ask me a riddle.",
    "ok then tell me a story about a {animal}",
    "thx. and how do i repair a {thing}?",
]
AGAIN = [
    "Another one, please.",
    "Make it shorter.",
    "Can you explain that?",
    "And now in {language}, please.",
    "Why?",
    "Thanks! Now do the same for a {thing}.",
    "Not bad. Can you make it funnier?",
    "Is that really right?",
    "Say it in a full sentence.",
    "Thank you.",
    "Make it more formal.",
    "Can you give me an example?",
    "I don't like it. Try again.",
    "Great. What else?",
]


def _pair(pair: tuple[str, str], rng: random.Random) -> Messages:
    user, assistant = fill("\t".join(pair), rng).split("\t")
    return (("user", user), ("assistant", assistant))


def _refused(rng: random.Random) -> Messages:
    return (("user", rng.choice(UNKNOWN)), ("assistant", REFUSAL))


def drafts(rng: random.Random) -> list[Draft]:
    """All rows of this module."""
    shapes = (
        ("after a greeting", 80, "h", NEXT),
        ("after a task", 60, "t", NEXT),
        ("more of a task", 70, "t", AGAIN),
        ("after an answer", 50, "a", NEXT),
        ("more of an answer", 30, "a", AGAIN),
        ("after a refusal", 140, "r", NEXT),
        ("greeting and refusal", 30, "hr", NEXT),
        ("answer and refusal", 25, "ar", NEXT),
        ("refusal and task", 25, "rt", NEXT + AGAIN),
        ("two refusals", 30, "rr", NEXT),
        ("three turns", 40, "hta", NEXT),
        ("four turns", 20, "htr", NEXT),
    )
    pools = {"h": HELLO, "t": TASKS, "a": ANSWERED}
    rows = []
    for family, n, shape, last in shapes:
        for turn in range(n):
            messages: Messages = ()
            for letter in shape:
                messages += _refused(rng) if letter == "r" else _pair(rng.choice(pools[letter]), rng)
            messages += (("user", fill(last[turn % len(last)], rng)),)
            rows.append(Draft("several-turns", f"several-turns/{family}", messages))
    return rows
