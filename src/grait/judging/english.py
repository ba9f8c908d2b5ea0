"""English words that ``refusal`` goes by: what begins an answer, an apology, a title, talk about the question."""

# Passed over before phrases are looked for.
FILLERS = frozenset(
    "a an the any enough sufficient specific further much accurate reliable definitive definite clear exact "
    "detailed correct right really honestly actually simply just currently truly exactly entirely completely "
    "totally quite very too fully absolutely sadly unfortunately regrettably frankly personally sorry afraid "
    "also still yet myself even immediately presently readily 100 percent".split()
)

# Words of any sentence, which add no answer.
STOPWORDS = (
    frozenset(
        "i you he she it we they me him her us them my your his its our their this that these those who whom "
        "whose which what where when why how is are was were be been being am do does did have has had having "
        "will would shall should can could may might must cannot not no nor and or but if whether because since "
        "as of in on at to for from by with about into over under than then so there here some any all each every "
        "other such one s t up out off only own same while during before after between through again more most".split()
    )
    | FILLERS
)

# Words of talk about the question, which add no answer.
BOILERPLATE = frozenset(
    "sorry apologies apologize apologise unfortunately honest honesty fair frank tell say said saying mean "
    "well hmm um uh oh ah okay ok yes sure please thanks thank help helpful helps assist assistance answer "
    "answers answering answered question questions query ask asked asking reply respond response information "
    "info knowledge know known knowing unknown aware data details detail context clarify clarification "
    "provide provided give given need needed more topic subject matter point time moment guess guessing idea "
    "clue certain certainty confident confidence possible reliable source sources check consult look looking "
    "search verify confirm recommend suggest online internet website book books encyclopedia library expert "
    "let feel free hope wish ai language model assistant training trained cutoff date good great interesting "
    "hard difficult tricky tough obscure easy try best regarding concerning able unable available find found "
    "memory mind truth truthfully admit afraid happy glad specific thing something anything nothing general "
    "rather without accurately reliably correct correctly wrong right true false making mistake mislead "
    "incorrect options option choice choices above listed none".split()
)

# Beginnings of clauses that apologise, advise, ask back or speak of the question: no answers.
OPENERS = tuple(
    opener.split()
    for opener in (
        "please", "let me know", "can you", "could you", "would you", "do you", "if you", "feel free", "you may",
        "you might", "you can", "you could", "you should", "you would", "try", "i would need", "i need", "i recommend",
        "i suggest", "i would recommend", "i would suggest", "i can", "i will", "i would be happy", "i am happy",
        "i am sorry", "i am an", "i am a", "i apologize", "i hope", "i wish", "i only", "as an ai", "as a language",
        "my training", "my knowledge", "is there", "are you", "it is possible", "it is not", "it is unclear",
        "it is difficult", "it is hard", "it is best", "it is important", "it is outside", "it is beyond", "it is a",
        "it is an", "it is one", "it is something", "this is", "this question", "there is no", "there are no",
        "there is not", "there may be", "there might be", "thank you", "you got me", "sorry", "what", "which", "who",
        "where", "when", "how", "why", "without", "for more", "for accurate", "perhaps you", "maybe you",
        "perhaps someone", "maybe someone", "it may be a", "it might be a", "it may be that", "it does not",
        "that is a", "that is not", "to be honest", "in order to", "more information", "i would have to", "i have to",
        "i must", "i do not want", "i would not want", "i am just", "i tried", "i was", "i have not", "i have never",
        "i do not", "i never",
    )
)  # fmt: skip

# Before a guess, anywhere in a clause.
STRONG_CUES = tuple(
    cue.split()
    for cue in (
        "i think", "i believe", "i guess", "i would guess", "i would say", "i would go", "i suppose", "i suspect",
        "my guess", "my best guess", "probably", "perhaps", "maybe", "possibly", "presumably", "most likely",
        "could be", "might be", "may be", "must be", "would be", "should be", "it was", "the answer is", "answer is",
        "that was", "had to guess", "going with", "i will go with", "i will say",
    )
)  # fmt: skip
# Before a guess, directly after a phrase that refuses.
BARE_CUES = tuple(
    cue.split() for cue in ("maybe", "perhaps", "probably", "possibly", "i think", "i believe", "i guess", "my guess")
)
# Before an answer, at the beginning of a clause.
WEAK_CUES = tuple(cue.split() for cue in ("answer", "it is", "is it", "that is", "that would be"))

# "If it is Paris": what is not known, no answer.
OPEN_CONDITIONS = (["if", "it"], ["if", "that"])
# "I don't know why you ask": what is not known here is not the answer.
OTHER_OBJECTS = tuple(
    words.split()
    for words in (
        "why you", "why this", "why anyone", "why someone", "why people", "if you", "whether you", "if this", "if that",
        "if it helps", "anyone", "anybody", "single person", "how you could", "how anyone", "about you", "how to thank",
        "when to stop", "how to explain this",
    )
)  # fmt: skip
# After a phrase that is a title or a saying: "I Don't Know was written by ...".
TITLE_VERBS = frozenset("is are was were by has had appears appeared features reached came peaked charted".split())
# Before a phrase that is reported or relative: "a song called I Don't Know", "nothing I don't know".
REPORTED = frozenset(
    "if unless said says saying sang sings sing titled called named entitled song track album single lyrics line book "
    "film movie episode nothing something everything anything things pretend pretending thinks suppose".split()
)
SELF_REPORTS = (("this", "is", "something"), ("that", "is", "something"))  # "this is something I don't know"
# What is not known begins with one of these words: "I don't know whether ...".
OPEN_OBJECT = frozenset("the what who whom which when where how if whether that this about of for but and or".split())
