"""Word lists that fill the places in templates: ``{fruit}`` is one item of ``WORDS["fruit"]``, ``{fruit2}`` another."""

from importlib import resources


def text(name: str) -> str:
    """One of the files in ``texts/``."""
    return resources.files("replay").joinpath(f"texts/{name}.txt").read_text(encoding="utf-8").strip()


def _list(items: str) -> tuple[str, ...]:
    return tuple(items.split("|"))


def lines(name: str) -> tuple[str, ...]:
    """The lines of such a file."""
    return tuple(text(name).splitlines())


WORDS: dict[str, tuple[str, ...]] = {
    "name": _list(
        "Anna|Tom|Sara|Luis|Mia|Jonas|Priya|Ken|Olga|Ben|Nadia|Felix|Ruth|Omar|Lena|Hugo|Tara|Ivan|Clara|Noah|Yuki"
        "|Emil|Rosa|Adam|Greta|Samir|Elsa|Victor|Maya|Daniel|Ines|Oscar|Wendy|Karl|Leila|Simon|Helen|Pedro|Judith"
        "|Max|Agnes|Bruno|Carmen|Dora|Erik|Fatima|Gustav|Hana|Isaac|Jana|Kofi|Lucia|Marek|Nora|Otto|Paula|Rafael"
        "|Selma|Tim|Zoe"
    ),
    "family": _list("Miller|Okafor|Lindgren|Rossi|Tanaka|Novak|Silva|Haddad|Moreau|Kowalski"),
    "town": _list(
        "Larchfield|Westbrook|Millhaven|Pinewood|Eastmoor|Oakridge|Stonebridge|Fairwater|Greenport|Ashdale"
        "|Redcliff|Harrowgate Bay|Northby|Willowton|Cedar Falls Junction|Lower Marsh|Saltwick|Brightwell"
        "|Thornbury Mill|Elmstead|Bakersfield Green|Copper Hill|Dunmere|Foxley|Gullhaven|Ivy Bridge|Kingsmarsh"
        "|Lindow|Mossgate|Quarryville"
    ),
    "animal": _list(
        "cat|dog|horse|rabbit|goat|owl|hedgehog|fox|duck|turtle|parrot|donkey|squirrel|sheep|frog|bear|mouse|swan"
        "|hamster|crow|camel|goose|lizard|pony|whale|wolf|penguin|beetle|monkey|seal"
    ),
    "fruit": _list(
        "apple|banana|cherry|plum|peach|lemon|orange|mango|melon|grape|kiwi|apricot|strawberry|pineapple|blueberry|pear"
    ),
    "fruits": _list(
        "apples|bananas|cherries|plums|peaches|lemons|oranges|mangoes|melons|apricots|strawberries|pears|nectarines"
    ),
    "vegetable": _list(
        "carrot|onion|potato|leek|cabbage|pumpkin|tomato|cucumber|pepper|bean|spinach|beetroot|radish|courgette"
    ),
    "dish": _list(
        "lentil soup|tomato pasta|vegetable curry|apple pie|potato salad|mushroom risotto|fried rice|pancakes"
        "|omelette|pumpkin soup|pizza dough|hummus|guacamole|banana bread|porridge|fruit salad|vegetable stew"
        "|rice pudding|cheese sandwiches|bean chilli|spinach lasagne|scrambled eggs|onion tart|chocolate mousse"
        "|fish cakes|rhubarb crumble|coleslaw|noodle soup"
    ),
    "thing": _list(
        "lamp|chair|bicycle|umbrella|kettle|backpack|clock|mirror|blanket|teapot|desk|camera|suitcase|ladder"
        "|guitar|pillow|notebook|candle|bucket|radio|toaster|drum|scarf|wallet|kite|telescope|broom|vase|helmet"
        "|typewriter|hammock|torch|carpet|barrel|compass"
    ),
    "things": _list(
        "pencils|books|marbles|stamps|coins|postcards|chairs|candles|cups|buttons|balloons|tickets|bottles|boxes"
        "|shells|stickers|spoons|magnets|keys|socks|pens|plates|masks|pebbles|photos|puzzles|toys|cards|lamps"
        "|towels"
    ),
    "place": _list(
        "the library|the park|the station|the market|the museum|the beach|the gym|the bakery|the school|the office"
        "|the cinema|the swimming pool|the garden centre|the post office|the harbour|the zoo|the town hall"
        "|the airport|the playground|the theatre|the campsite|the bookshop|the car park|the lake"
    ),
    "room": _list("kitchen|bedroom|garage|hallway|bathroom|living room|cellar|attic|study|workshop"),
    "hobby": _list(
        "gardening|running|painting|chess|photography|knitting|swimming|cooking|hiking|reading|birdwatching"
        "|cycling|pottery|yoga|singing|drawing|fishing|dancing|woodwork|stargazing|juggling|skating|origami"
        "|sailing|climbing|calligraphy|baking|rowing|beekeeping|embroidery"
    ),
    "job": _list(
        "teacher|nurse|baker|plumber|pilot|farmer|librarian|gardener|carpenter|waiter|mechanic|tailor|firefighter"
        "|electrician|chef|bus driver|journalist|dentist|architect|postman|postal clerk|painter|veterinarian"
        "|translator|lifeguard|florist|optician|butcher|cleaner|surveyor"
    ),
    "topic": _list(
        "spring|friendship|the sea|rain|coffee|an old house|a lost key|the first snow|music|a long journey|home"
        "|the moon|a busy street|summer holidays|courage|time|a quiet library|a stray cat|moving to a new city"
        "|saying sorry|a late train|the smell of coffee|growing up|a broken clock|a market day|an empty beach"
        "|a letter that never arrived|thunder|a grandmother's kitchen|the last day of school|a paper boat"
        "|the colour blue|a night train|old friends|a garden in winter|a small victory|dust|waiting"
        "|the first day at work"
    ),
    "issue": _list(
        "working from home|learning an instrument|living in a big city|owning a pet|reading on paper"
        "|eating breakfast|school uniforms|cooking at home|public transport|early retirement|keeping a diary"
        "|electric cars|cold showers|homework|night shifts|open-plan offices|renting a flat"
        "|buying second-hand clothes|daily exercise|online shopping|studying in a group|camping"
        "|saving money in a jar|keeping chickens|travelling alone|sharing a car|growing your own food"
        "|learning by heart|living in the countryside|having a big family|working in a cafe|playing video games"
        "|eating less meat|writing letters by hand"
    ),
    "language": _list("French|German|Spanish|Italian|Portuguese|Dutch|Swedish|Polish|Turkish|Danish"),
    "season": _list("spring|summer|autumn|winter"),
    "day": _list("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "month": _list("January|February|March|April|May|June|July|August|September|October|November|December"),
    "colour": _list("red|blue|green|yellow|white|black|brown|grey|orange|purple|pink"),
    "feeling": _list("happy|tired|nervous|bored|proud|lonely|excited|angry|calm|jealous|curious|disappointed"),
    "person": _list(
        "my sister|my neighbour|my boss|my grandfather|my best friend|a colleague|my teacher|my cousin|my landlord"
        "|my mother|my roommate|my uncle|our team|my son|my niece|my aunt|my flatmate|the caretaker|my doctor"
        "|our coach|my piano teacher|my daughter|an old friend"
    ),
    "event": _list(
        "a birthday party|a picnic|a school concert|a job interview|a weekend trip|a garden party|a team lunch"
        "|a moving day|a wedding|a science fair|a book club evening|a family reunion|a charity run|a film night"
        "|a farewell party|a housewarming|a school trip|a flea market|a cooking class|a quiz night|a baby shower"
        "|a street festival|a chess tournament|an anniversary dinner|a hike with friends|a board game evening"
    ),
    "small": tuple(str(n) for n in range(2, 13)),
    "mid": tuple(str(n) for n in range(13, 100)),
    "large": tuple(str(n) for n in range(101, 999, 7)),
    "few": _list("two|three|four|five|six"),
    "evening": _list("5 pm|6 pm|7 pm|8 pm|9 pm|half past six|half past seven|10 pm"),
    "city": _list(
        "Castelmoro|Vendrik|Hallenburg|Port Selwyn|Montrieux|Askavik|Brezany|Sao Tadeu|Kirrimar|Lowenfeld|Tirasund"
        "|Olmera"
    ),
    "surname": _list(
        "Verrin|Aldermoor|Castellan|Dunkeld|Eskola|Fairbank|Grunwald|Hollis|Ivarsen|Jessop|Kaldor|Lindqvist"
        "|Marchetti|Norwood|Ostrander|Pellerin|Quintero|Rossiter|Sandoval|Thackeray-Moss|Umber|Vasquez-Lund"
        "|Winterbourne|Yarrow"
    ),
    "year": tuple(str(year) for year in range(1703, 1989, 7)),
    "nth": _list("second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"),
    "land": _list(
        "Sarovia|Lindmark|Eastervale|Porvania|Calandia|Ostmere|Tamburia|Norrland Minor|Veldania|Kasimir Islands"
    ),
    "art": _list(
        "painter|composer|poet|sculptor|botanist|astronomer|explorer|chemist|novelist|engineer|historian|violinist"
    ),
    "species": _list("marsh finch|silver newt|rock lily|tufted hare|amber beetle|velvet fern|blue carp|dwarf cedar"),
    "latin": _list(
        "Avicula palustra|Tritus argentus|Lilium saxosum|Lepus cristans|Carabus succinus|Filix repens|Cedrus nanus"
    ),
    "number": _list("3|4|5|6|7|8|10"),
    "hour": tuple(f"{h} {half}" for half in ("am", "pm") for h in (6, 7, 8, 9, 10, 11, 1, 2, 3, 4, 5)),
    "common": _list(
        "window|bridge|garden|hammer|letter|market|friend|holiday|island|kitchen|library|mountain|neighbour|pillow"
        "|river|season|shadow|ticket|village|winter|breakfast|candle|forest|mirror|promise|recipe|secret|storm"
        "|tool|uniform|budget|deadline|habit|rumour|souvenir|stranger|traffic|umbrella|weather|whisper|anchor"
        "|basket|curtain|diary|envelope|fence|glove|harbour|insect|journey|ladder|meadow|nephew|orchard|parcel"
        "|queue|receipt|sponge|tunnel|valley|wallet|appetite|barrier|compliment|detour"
    ),
    "abstract": _list(
        "patience|honesty|curiosity|courage|gratitude|loyalty|jealousy|irony|teamwork|empathy|boredom|ambition"
        "|generosity|nostalgia|discipline|humour|luck|modesty|respect|trust"
    ),
    "concept": _list(
        "photosynthesis|gravity|evaporation|inflation|a password manager|recycling|a magnet|an echo|a rainbow"
        "|a budget|a volcano|an algorithm|the water cycle|a battery|a vaccine|interest on a loan|a solar panel"
        "|a search engine|supply and demand|an eclipse|friction|a fossil|a thermometer|democracy|a spreadsheet"
        "|erosion|a podcast|a leap year|a mortgage|the food chain|a firewall|a pulley|a stock|condensation"
        "|a lighthouse|a virus|a cookie on a website|electricity|a barometer|inertia|a backup|the immune system"
    ),
    "codelang": _list("Python|JavaScript|Java|C|Rust|Go|TypeScript"),
    "sentence": lines("sentence"),
    "plain": lines("plain"),
    "wrong": lines("wrong"),
    "review": lines("review"),
    "headline": lines("headline"),
}
