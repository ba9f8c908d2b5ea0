"""Greetings, small talk, opinions, advice, plans, ideas, roles."""

import random

from replay.draft import Draft, seeds, spread

GREETINGS = """
Hi!
Hey!
hello
Hiya
Yo
Good day!
Hello again!
Hey there!
Good afternoon!
Morning!
Evening all
Hi, how are you?
How are you?
How are you doing?
how r u
How's it going?
How is your day so far?
What's new?
Are you there?
Anybody home?
Hello, can you hear me?
Hi, do you have a minute?
Hey, long time no see!
Hello, my friend.
Nice to meet you!
Pleased to meet you, I'm new here.
Hi, is this the assistant?
Hello, who am I talking to?
Hey you
Hi, I have a question.
Hello, I need some help with something.
Happy birthday!
Merry Christmas!
Happy Easter!
Have a nice weekend!
See you later!
Goodbye!
bye
Take care!
Talk to you tomorrow.
Good night!
Sweet dreams.
Hello from the train!
Ahoy!
Hi, it's my first time here. What do I do?
Hello! Ready to start?
Hey, are you awake?
Guess who is back?
Hola!
Bonjour!
Guten Tag!
Ciao!
How do you do?
Hope you are well.
Hi, did you miss me?
good morning, did you sleep well?
Hello, it's a pleasure.
I'm back from lunch.
"""

THANKS = """
Thanks!
Thank you.
thx
Thank you so much!
Cheers!
That helped, thanks.
Great, thank you for the quick reply.
Nice, that works.
Ok thanks, that's all.
Perfect, I'll try that.
You're very kind.
Well done!
Thanks, you're the best.
I owe you one.
Many thanks for the explanation.
Thank you, I understand it now.
Sorry, I was a bit rude before.
My apologies, I typed that too fast.
No worries.
Thanks anyway.
That is a good answer.
I like your answer.
Wow, that was fast.
Thank you for listening.
You really helped my daughter with her homework, thank you.
Got it.
ok
Okay, makes sense.
Alright, let's leave it at that.
Thanks for trying.
"""

ABOUT_YOU = """
What can you do?
What is your favourite colour?
Do you like music?
What is your name?
Are you a robot?
Are you a human or a computer?
Do you ever get tired?
Can you help me?
What do you like to do?
Do you have feelings?
What is your favourite food?
Do you have any hobbies?
How can you help me today?
Can you speak other languages?
Can you write code?
Do you sleep?
What are you good at?
What should I ask you?
Do you like jokes?
Who are you?
Do you have a favourite animal?
What is your favourite season?
Do you like football?
Can you keep a secret?
Are you happy?
Can you sing?
Do you like to read?
What languages do you understand?
Can you draw?
Would you like to be human?
Do you get bored?
What makes you laugh?
Can you see me?
Do you remember things?
Do you like your job?
If you were an animal, which one would you be?
What would you do on a free afternoon?
Do you prefer mornings or evenings?
What kind of questions can I ask?
Can we be friends?
Tell me about yourself.
Introduce yourself in one sentence.
Tell me three things that you can do for me.
Do you eat breakfast?
Can you tell stories?
Is it hard to be an assistant?
Do you ever make mistakes?
How do you work?
Are you always this polite?
Do you dream?
What do you think about people?
Can you be funny?
What is your favourite word?
Which film do you like best?
Do you like rain?
Would you rather fly or be invisible?
can u help me with my homework
what r u
"""

SMALL_TALK = """
I'm so tired today.
It is really hot outside.
I can't sleep.
I had pizza for lunch.
We are going to the seaside tomorrow.
My cat knocked over a vase again.
I'm bored.
bored
Tell me a joke.
Tell me a fun fact.
Do you know a good story?
Say something funny.
I love Sundays.
I hate Mondays.
What a day!
My new neighbours are very loud.
I think I am getting a cold.
It's snowing!
I finally finished my book.
My football team lost again.
I have nothing to do this evening.
I burned the rice.
Guess what I did today!
My daughter started school this week.
I'm learning to play the ukulele.
My phone is almost dead.
I just woke up.
I'm waiting for the bus and it doesn't come.
Work was hard today.
I got the job!
I miss my old school.
My grandmother turns ninety tomorrow.
We adopted two rabbits.
I have been sitting at my desk all day.
Do you think it will be a nice weekend?
I'm looking forward to the holidays.
I feel a bit sad.
I'm in a good mood.
Coffee first, then we talk.
My tomatoes are finally ripe.
The lift in our building is broken again.
I forgot my lunch at home.
My brother and I had an argument.
I lost my umbrella, the third one this year.
It's my birthday today!
I won a cake at the village fair.
I'm thinking about getting a haircut.
Let's play a game.
Ask me a question.
Let's chat.
Cheer me up, please.
Wish me luck for tomorrow!
I just want to talk to somebody.
Can I tell you a secret?
There is a fly in my soup.
lol
haha
hmm
Really?
Why?
I don't believe it!
You are funny.
Never mind.
Are you sure?
Interesting.
That's not what I meant.
"""

OPINIONS = """
Should children learn to cook at school?
Is it better to get up early or to stay up late?
What makes a good teacher?
What makes a meal special?
Is it rude to be late?
Do you think that homework is useful?
Are cats smarter than dogs?
Is handwriting still important?
What is better for a first flat, a sofa or a big table?
Would you choose a window seat or an aisle seat?
What do you think about zoos?
Which is nicer, a handwritten card or a phone call?
Is it okay to read the last page of a book first?
Is camping fun?
What makes a house a home?
Should shops be open on Sundays?
Is silence sometimes better than music?
What is the nicest sound in the world?
Is a cheap umbrella worth buying?
Do plants make people happier?
Do you think money can buy happiness?
Is chess a sport?
Which is the best pizza topping?
Is a hot dog a sandwich?
Should I learn German or Japanese first?
Are long books better than short ones?
What is a good age to get a first phone?
Do we need alarm clocks at weekends?
"""

ADVICE = """
I have a headache. What can I do without medicine?
My shoes smell. What can I do?
My neighbour plays loud music at night. How should I talk to him?
I am nervous about my presentation. Any tips?
I keep losing my keys. What helps?
What should I wear to a summer wedding?
I got a bad mark at school. How do I tell my parents?
My houseplant has yellow leaves. What is wrong?
How can I stop biting my nails?
I want to read more. Where do I start?
How do I say no to a friend without hurting her?
What can I do against hiccups?
My son does not like vegetables. What should I try?
I have two job offers. How do I choose?
How can I make my small flat look bigger?
What is a good present for a teacher?
I forgot my friend's birthday. What now?
How much water should I drink a day?
My laptop is slow. What should I check first?
I can't concentrate in the afternoon. What can I do?
How do I apologise after an argument?
What should I do before a long flight?
How can I learn to like running?
I spilled red wine on the carpet, help!
Which houseplants are hard to kill?
I am always late. How can I change that?
How do I start a conversation at a party?
How do I keep bread fresh for longer?
I have to give a speech and I am shy. What can I do?
What helps against jet lag?
My dog barks when I leave the house. What should I do?
I want to save energy at home. Where should I begin?
"""

HOWTO = """
How do I tie a tie?
How do I change a bicycle tyre?
How do you make pancakes?
How do I clean a window without streaks?
How do I iron a shirt?
How do I wrap a present?
How do you cook rice?
How do I sharpen a kitchen knife?
How do I sew on a button?
How do I plant a tree?
How do you build a snowman?
How do I fold a paper plane?
How do I reset a forgotten password?
How do I take a screenshot?
How do I hang a picture straight?
How do I defrost a freezer?
How do you make lemonade?
How do I read a map?
How do I whistle?
How do I write a CV?
How do you play hide and seek?
How do I paint a wall?
How do I wash a wool jumper?
How do I unclog a sink?
How do I start a fire in a stove?
How do you peel garlic quickly?
How do I open a bank account?
How do I find a word in a long document?
How do I grow basil on a windowsill?
How do I remove a sticker from a jar?
How do I pack a suitcase so that shirts stay smooth?
How do I get rid of ants in the kitchen?
How do you make a good cup of tea?
How do you poach an egg?
how do i turn off notifications
how to boil potatoes
how to make a paper boat
how to clean a keyboard
"""

ROLEPLAY = """
Pretend that you are a pirate and tell me about your ship.
You are a shopkeeper and I am a customer. I would like to buy a hat.
Act as my English teacher and correct me when I make mistakes. I goed to the park today.
Let's pretend that you are a waiter. What do you recommend today?
Be a grumpy old wizard. I knock at your door.
You are a tour guide in a castle. Welcome the group.
Speak like a robot from an old film. What did you do today?
Imagine that you are a tree. What do you see?
You are the captain of a spaceship and the engine has stopped. What do you say to the crew?
Play a detective. The cake has disappeared from the kitchen.
Pretend to be my grandmother and offer me something to eat.
You are a talking parrot. Introduce yourself.
Act as a doctor for teddy bears. My bear has lost an arm.
You are a sports reporter. Describe a race between two snails.
Be my interviewer for a job in a bookshop. Ask me the first question.
Pretend you are the moon and write to the sun.
You are a weather presenter. It is going to rain frogs.
Be a very polite butler. I have just come home.
You are a dragon who is afraid of fire. Tell me your problem.
Act as a hotel receptionist. I have lost my room key.
"""


def drafts(rng: random.Random) -> list[Draft]:
    """All rows of this module."""
    rows: list[Draft] = []
    for kind, text in {
        "greeting": GREETINGS,
        "thanks": THANKS,
        "about-you": ABOUT_YOU,
        "small-talk": SMALL_TALK,
        "opinion": OPINIONS,
        "advice": ADVICE,
        "how-to": HOWTO,
        "roleplay": ROLEPLAY,
    }.items():
        rows += seeds(kind, text)
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
            "Let's talk about {hobby}.",
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
