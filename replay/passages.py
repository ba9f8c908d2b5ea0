"""Questions about a given text, whose answer stands in it."""

import random

from replay.draft import Draft, fill, single

INVENTED = [
    ("{name} opened a {thing} shop in {town} last {month}. The shop closes at {hour}. {name2} works there on {day}s.",
     ["Where is the shop?", "Who opened the shop?", "When does the shop close?", "Who works there?"]),
    ("The {job} of {town} is called {name}. She keeps a {animal} named {name2} and drives a {colour} van.",
     ["What is the animal called?", "What colour is the van?", "What is the name of the {job}?"]),
    ("{event} takes place on {day} at {place} in {town}. It begins at {hour}, and everybody should bring {things}.",
     ["When does it begin?", "What should people bring?", "On which day is it?", "In which town is it?"]),
    ("{name} has {mid} {things}, and {name2} has {small}. Their teacher keeps them in a {colour} box in the {room}.",
     ["How many {things} does {name} have?", "Where are the {things} kept?", "What colour is the box?"]),
    ("The bus from {town} to {town2} leaves every {mid} minutes from {place}. A ticket costs {small} euros.",
     ["How often does the bus leave?", "How much is a ticket?", "Where does the bus leave from?"]),
    ("Our house rules: no {hobby} after {hour}, shoes stay in the {room}, and the {thing} belongs to {name}.",
     ["Where do the shoes stay?", "Who owns the {thing}?", "After what time is {hobby} not allowed?"]),
    ("For the {dish}, {name} needs {small} {fruits} and a {vegetable}. Everything is cooked for {mid} minutes.",
     ["How long is everything cooked?", "Which vegetable is needed?", "How many {fruits} are needed?"]),
    ("Dear {name}, I arrive in {town} on {day} at {hour}. Please meet me at {place}. I have a {colour} suitcase. Yours, {name2}",
     ["Who wrote the letter?", "When does the writer arrive?", "Where should they meet?", "What colour is the suitcase?"]),
    ("The lighthouse of {town} is {mid} metres high and was painted {colour} in {month}. Its keeper, {name}, is also a {job}.",
     ["How high is the lighthouse?", "Who is the keeper?", "In which month was it painted?", "What else does the keeper work as?"]),
    ("In the {town} quiz, {name} got {mid} points, {name2} got {small} and {name3} did not take part. The prize was a {thing}.",
     ["Who did not take part?", "What was the prize?", "How many points did {name} get?"]),
    ("{name} wanted to go {hobby}, but it rained all {day}. So {name} stayed in the {room} and made {dish}.",
     ["Why did {name} stay at home?", "What did {name} make?", "On which day did it rain?"]),
    ("Room {large} is booked for {name} until {hour}. After that, the {job} needs it for {event}. The key is with {name2}.",
     ["Who has the key?", "Who booked the room?", "What is the room needed for later?", "Until when is the room booked?"]),
    ("The {animal} of the {family} family escaped on {day}. {name} found it near {place}, {small} streets away.",
     ["Who found the {animal}?", "Where was the {animal} found?", "When did the {animal} escape?"]),
    ("{name}'s flat has {number} rooms. The {room} is {colour}, and the biggest room is used for {hobby}.",
     ["How many rooms does the flat have?", "What is the biggest room used for?", "Which colour does the {room} have?"]),
    ("Minutes: {name} will order {things} by {day}. {name2} will call {town} Council. Next meeting at {hour}.",
     ["Who will order the {things}?", "When is the next meeting?", "Whom will {name2} call?"]),
]  # fmt: skip

GENERAL = [
    ("Bees live in colonies with one queen. Worker bees collect nectar and turn it into honey. In winter the bees stay close together to keep warm.",
     ["What do worker bees collect?", "How many queens does a colony have?", "Why do bees stay close together in winter?"]),
    ("Paper is made from wood fibres. The fibres are mixed with water, spread on a screen, pressed and dried.",
     ["What is paper made from?", "What are the fibres mixed with?"]),
    ("A rainbow appears when sunlight passes through drops of water. The light is bent and splits into colours. Red is on the outside of the arc and violet on the inside.",
     ["Which colour is on the outside?", "When does a rainbow appear?"]),
    ("Coffee beans are the seeds of a fruit that looks like a cherry. They are green when picked and turn brown when they are roasted.",
     ["What colour are the beans before roasting?", "What does the fruit look like?"]),
    ("The heart pumps blood through the body. An adult's heart beats about 70 times a minute at rest. During sport it beats faster.",
     ["How often does the heart beat at rest?", "What does the heart pump?"]),
    ("Owls hunt at night. They can turn their heads very far because their eyes cannot move. Most owls swallow small prey whole.",
     ["Why do owls turn their heads?", "When do owls hunt?"]),
    ("Glass is made by melting sand together with soda and lime. It has to be heated to about 1,500 degrees. Old glass can be melted again.",
     ["What is melted to make glass?", "How hot does it have to get?"]),
    ("Tides rise and fall twice a day in most places. They are caused mainly by the pull of the Moon. The sun plays a smaller part.",
     ["What mainly causes tides?", "How often do tides rise?"]),
    ("Bread rises because yeast eats sugar and gives off gas. The gas forms bubbles in the dough. In the oven the bubbles become firm.",
     ["What makes bread rise?", "What does yeast eat?"]),
    ("Camels store fat in their humps, not water. They can drink a hundred litres in a few minutes. Their long eyelashes keep out sand.",
     ["What is in a camel's hump?", "What are the long eyelashes good for?"]),
    ("A piano has 88 keys. When a key is pressed, a small hammer hits the strings. The pedals change how long the tone lasts.",
     ["How many keys does a piano have?", "What hits the strings?"]),
    ("Spiders are not insects. They have eight legs and no wings. Most of them make silk, which they use for webs or to wrap up prey.",
     ["How many legs do spiders have?", "What do spiders use silk for?"]),
    ("Salt can be won from the sea. The water is led into flat basins, where the sun dries it up. What stays behind is salt.",
     ["Where is the water led?", "What stays behind?"]),
    ("The first bicycles had no pedals. Riders pushed themselves along with their feet. Pedals, chains and rubber tyres came later.",
     ["How did riders of the first bicycles move?", "What came later?"]),
    ("Trees take up water with their roots. The water climbs to the leaves, where some of it evaporates. A large oak can lose hundreds of litres on a hot day.",
     ["How do trees take up water?", "Where does the water evaporate?"]),
    ("Chess is played on a board of 64 squares. Each player has sixteen pieces. The game ends when a king can no longer escape.",
     ["How many squares does the board have?", "When does the game end?"]),
    ("Wool comes from sheep, which are sheared once a year, mostly in spring. The wool is washed, combed and spun into yarn.",
     ["When are sheep sheared?", "What is the wool spun into?"]),
    ("Thunder is the sound of lightning. Because light is faster than sound, we see the flash first. Count the seconds to guess how far away the storm is.",
     ["What is thunder?", "Why do we see the flash first?"]),
]  # fmt: skip

FORMS = [
    "{p}\n\n{q}",
    "{p} {q}",
    "Read the text and answer the question.\n\nText: {p}\n\nQuestion: {q}",
    "{q}\n\n{p}",
    "Context: {p}\n\nQuestion: {q}\nAnswer:",
    "Here is a note: \"{p}\" {q}",
    "According to this article: {p}\n\n{q}",
    "Answer from the passage only. {p}\n{q}",
    "I have a question about this text: {q}\n\nThe text: {p}",
    "{q} Use this information: {p}",
    "Article:\n{p}\n\nAnswer briefly: {q}",
    "Please read this.\n{p}\nNow tell me: {q}",
    "My colleague wrote: {p}\n\n{q}",
    "<text>{p}</text>\n{q}",
    "Based on the following paragraph, {lq}\n\n{p}",
    "{p}\n\nGiven this, {lq}",
    "This is from a leaflet: {p} {q} Answer in a full sentence.",
    "Q: {q}\nSource: {p}\nA:",
]


def _row(family: str, passage: str, question: str, rng: random.Random, turn: int) -> Draft:
    passage = passage[0].upper() + passage[1:]
    form = FORMS[(turn + rng.randrange(3)) % len(FORMS)]
    return single("passage", family, form.format(p=passage, q=question, lq=question[0].lower() + question[1:]))


def drafts(rng: random.Random) -> list[Draft]:
    """All rows of this module."""
    rows = []
    for turn in range(300):
        template, questions = INVENTED[turn % len(INVENTED)]
        # One fill for both, so that names in the question are those of the passage.
        passage, question = fill(f"{template}\t{rng.choice(questions)}", rng).split("\t")
        rows.append(_row(f"invented {turn % 3}", passage, question, rng, turn))
    for turn, (passage, question) in enumerate((p, q) for p, questions in GENERAL for q in questions):
        rows.append(_row("general", passage, question, rng, turn * 2))
        rows.append(_row("general", passage, question, rng, turn * 2 + 7))
    return rows
