"""Greetings, small talk, opinions, advice, plans, ideas, roles."""

import random

from replay.draft import Draft, spread


def drafts(rng: random.Random) -> list[Draft]:
    """All rows of this module."""
    rows: list[Draft] = []
    rows += spread(
        "greeting",
        "names",
        [
            "Hi, I'm {name}.",
            "Hello, {name} here. How are you?",
            "Good morning from {town}!",
            "Hey, it's {name} from {town}.",
            "Hello! My friends call me {name}. What can I call you?",
            "Hi! It is {day} and I am {feeling}.",
            "Greet {name}, who has just come in.",
            "Say good night to {name} and {name2}.",
            "Good evening! I am the {job} from next door.",
            "hi im {name} whats up",
        ],
        60,
        rng,
    )
    rows += spread(
        "thanks",
        "for",
        [
            "Thank you for the tip about {hobby}!",
            "{name} and I want to thank you.",
            "The {dish} turned out great, thank you!",
            "Thanks, {person} will love this.",
            "I told {person} about you. Thanks again!",
        ],
        30,
        rng,
    )
    rows += spread(
        "about-you",
        "likes",
        [
            "Do you like {hobby}?",
            "Have you ever tried {hobby}?",
            "What do you think of {dish}?",
            "Which do you prefer, {fruits} or {fruits2}?",
            "Would you like to have a {animal}?",
            "Do you like the colour {colour}?",
            "Can you teach me something about {hobby}?",
            "Would you be a good {job}?",
        ],
        70,
        rng,
    )
    rows += spread(
        "small-talk",
        "day",
        [
            "I spent the whole {day} with {person}.",
            "I saw a {animal} on my way to {place} today.",
            "My {thing} is broken and I am {feeling}.",
            "Today I made {dish} for {person}.",
            "I'm {feeling} because of {event}.",
            "{name} told me that I should take up {hobby}.",
            "I bought a {colour} {thing} at the flea market.",
            "I can't decide between {hobby} and {hobby2} this weekend.",
            "Shall we chat about {hobby}?",
            "Guess what, {person} is now a {job}!",
            "A {animal} ate my {vegetable} plants.",
            "We had {dish} again, I could eat it every day.",
        ],
        110,
        rng,
    )
    rows += spread(
        "opinion",
        "issues",
        [
            "What do you think about {issue}?",
            "Is {issue} a good idea?",
            "Give me two arguments for and two against {issue}.",
            "Some people love {issue}, others don't. Why?",
            "Would you recommend {hobby} to {person}?",
            "What is more relaxing, {hobby} or {hobby2}?",
            "Is a {animal} a good pet for a family?",
            "Does {colour} go well with {colour2}?",
            "Is {season} a good time for {event}?",
            "Convince me of {issue} in two sentences.",
            "in your opinion is {issue} worth it",
        ],
        110,
        rng,
    )
    rows += spread(
        "advice",
        "people",
        [
            "How can I tell {person} that I can't come to {event}?",
            "I want to start {hobby}. What do I need?",
            "What can I give {person} who loves {hobby}?",
            "I feel {feeling} before {event}. What should I do?",
            "{person} wants to become a {job}. What would you advise?",
            "What is a cheap way to decorate the {room}?",
            "I have {few} {fruits} and some {vegetable}. What can I make?",
            "How can I get better at {hobby}?",
            "My {animal} does not eat. What should I do first?",
            "Any ideas how to make {event} less stressful?",
            "i am {feeling} all the time, what can i do",
        ],
        100,
        rng,
    )
    rows += spread(
        "how-to",
        "things",
        [
            "How do I make {dish}?",
            "Explain step by step how to make {dish}.",
            "Give me a simple recipe for {dish}.",
            "How do I organise {event}?",
            "How do I tidy up a {room} quickly?",
            "How do I draw a {animal}?",
            "How do I repair a {thing}?",
            "How do I explain {concept} to a child?",
            "What are the steps to become a {job}?",
            "how to cook {dish} fast",
        ],
        100,
        rng,
    )
    rows += spread(
        "roleplay",
        "jobs",
        [
            "You are a {job}. I am your first customer today. Greet me.",
            "Pretend to be a {animal} and describe your morning.",
            "Imagine you are a {job} in the year 1900. What does your day look like?",
            "Speak as a {colour} {thing} that has come to life.",
            "Act as a {job} and answer: what do you like about your work?",
            "You are {name}, a {feeling} {job}. Say hello to {name2}.",
            "Let's act a scene at {place}: you are the {job}, I am lost.",
        ],
        60,
        rng,
    )
    rows += spread(
        "planning",
        "plans",
        [
            "Plan {event} for {number} people.",
            "Make a plan for {event} in {town}.",
            "Help me plan a week of dinners without meat, starting on {day}.",
            "I have {few} hours on {day}. Plan an afternoon with {hobby} and {dish}.",
            "Make a timetable for a day with work, {hobby} and {hobby2}.",
            "What do I have to think of when I plan {event}?",
            "Write a checklist for {event}.",
            "Plan a day trip to {place} with {person}.",
            "Make a {number}-day plan to learn the basics of {hobby}.",
            "How should I divide my time if I have an exam in {few} days?",
            "Give me a morning routine of {number} minutes that includes {hobby}.",
            "We move house in {month}. What has to be done, and when?",
            "i have {number} days off in {month}, make a plan",
        ],
        110,
        rng,
    )
    rows += spread(
        "brainstorming",
        "ideas",
        [
            "Give me {few} ideas for {event}.",
            "Brainstorm names for a {animal}.",
            "I need a name for a shop that sells {things}.",
            "Think of {few} uses for an old {thing}.",
            "What could a story about {topic} be called?",
            "Suggest {few} themes for {event}.",
            "Ideas for a present for a {job}, please.",
            "How could {place} attract more visitors? Give {few} ideas.",
            "Suggest a team name for people who love {hobby}.",
            "What could I build from {things} and {things2}?",
            "Give me {few} questions for a quiz about {hobby}.",
            "What could I write about {topic}?",
            "need ideas for {event}, nothing expensive",
        ],
        120,
        rng,
    )
    return rows
