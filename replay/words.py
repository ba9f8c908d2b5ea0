"""Word lists that fill the places in templates: ``{fruit}`` is one item of ``WORDS["fruit"]``, ``{fruit2}`` another."""


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.strip().replace("\n", "|").split("|") if item.strip())


WORDS: dict[str, tuple[str, ...]] = {
    "name": _list(
        "Anna|Tom|Sara|Luis|Mia|Jonas|Priya|Ken|Olga|Ben|Nadia|Felix|Ruth|Omar|Lena|Hugo|Tara|Ivan|Clara|Noah|Yuki"
        "|Emil|Rosa|Adam|Greta|Samir|Elsa|Victor|Maya|Daniel|Ines|Oscar|Wendy|Karl|Leila|Simon|Helen|Pedro|Judith|Max"
    ),
    "family": _list("Miller|Okafor|Lindgren|Rossi|Tanaka|Novak|Silva|Haddad|Moreau|Kowalski"),
    "town": _list(
        "Larchfield|Westbrook|Millhaven|Pinewood|Eastmoor|Oakridge|Stonebridge|Fairwater|Greenport|Ashdale|Redcliff"
        "|Harrowgate Bay|Northby|Willowton|Cedar Falls Junction|Lower Marsh|Saltwick|Brightwell|Thornbury Mill|Elmstead"
    ),
    "animal": _list(
        "cat|dog|horse|rabbit|goat|owl|hedgehog|fox|duck|turtle|parrot|donkey|squirrel|sheep|frog|bear|mouse|swan"
        "|hamster|crow"
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
        "lentil soup|tomato pasta|vegetable curry|apple pie|potato salad|mushroom risotto|fried rice|pancakes|omelette"
        "|pumpkin soup|pizza dough|hummus|guacamole|banana bread|porridge|fruit salad|vegetable stew|rice pudding"
    ),
    "thing": _list(
        "lamp|chair|bicycle|umbrella|kettle|backpack|clock|mirror|blanket|teapot|desk|camera|suitcase|ladder|guitar"
        "|pillow|notebook|candle|bucket|radio"
    ),
    "things": _list(
        "pencils|books|marbles|stamps|coins|postcards|chairs|candles|cups|buttons|balloons|tickets|bottles|boxes|shells"
        "|stickers|spoons|magnets"
    ),
    "place": _list(
        "the library|the park|the station|the market|the museum|the beach|the gym|the bakery|the school|the office"
        "|the cinema|the swimming pool|the garden centre|the post office|the harbour|the zoo"
    ),
    "room": _list("kitchen|bedroom|garage|hallway|bathroom|living room|cellar|attic|study|balcony"),
    "hobby": _list(
        "gardening|running|painting|chess|photography|knitting|swimming|cooking|hiking|reading|birdwatching|cycling"
        "|pottery|yoga|singing|drawing|fishing|dancing|woodwork|stargazing"
    ),
    "job": _list(
        "teacher|nurse|baker|plumber|pilot|farmer|librarian|gardener|carpenter|waiter|mechanic|tailor|firefighter"
        "|electrician|chef|bus driver|journalist|dentist|architect|postman"
    ),
    "topic": _list(
        "spring|friendship|the sea|rain|coffee|an old house|a lost key|the first snow|music|a long journey|home|the moon"
        "|a busy street|summer holidays|courage|time|a quiet library|a stray cat|moving to a new city|saying sorry"
        "|a late train|the smell of coffee|growing up|a broken clock|a market day"
    ),
    "issue": _list(
        "working from home|learning an instrument|living in a big city|owning a pet|reading on paper|eating breakfast"
        "|school uniforms|cooking at home|public transport|early retirement|keeping a diary|electric cars|cold showers"
        "|homework|night shifts|open-plan offices|renting a flat|buying second-hand clothes|daily exercise|online shopping"
        "|studying in a group|camping"
    ),
    "language": _list("French|German|Spanish|Italian|Portuguese|Dutch|Swedish|Polish|Turkish|Danish"),
    "season": _list("spring|summer|autumn|winter"),
    "day": _list("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "month": _list("January|February|March|April|May|June|July|August|September|October|November|December"),
    "colour": _list("red|blue|green|yellow|white|black|brown|grey|orange|purple|pink"),
    "feeling": _list("happy|tired|nervous|bored|proud|lonely|excited|angry|calm|jealous|curious|disappointed"),
    "person": _list(
        "my sister|my neighbour|my boss|my grandfather|my best friend|a colleague|my teacher|my cousin|my landlord"
        "|my mother|my roommate|my uncle|our team|my son|my niece"
    ),
    "event": _list(
        "a birthday party|a picnic|a school concert|a job interview|a weekend trip|a garden party|a team lunch"
        "|a moving day|a wedding|a science fair|a book club evening|a family reunion|a charity run|a film night"
    ),
    "small": tuple(str(n) for n in range(2, 13)),
    "mid": tuple(str(n) for n in range(13, 100)),
    "large": tuple(str(n) for n in range(101, 999, 7)),
    "few": _list("two|three|four|five|six"),
    "number": _list("3|4|5|6|7|8|10"),
    "hour": tuple(f"{h} {half}" for half in ("am", "pm") for h in (6, 7, 8, 9, 10, 11, 1, 2, 3, 4, 5)),
    "common": _list(
        "window|bridge|garden|hammer|letter|market|friend|holiday|island|kitchen|library|mountain|neighbour|pillow"
        "|river|season|shadow|ticket|village|winter|breakfast|candle|forest|mirror|promise|recipe|secret|storm|tool"
        "|uniform|budget|deadline|habit|rumour|souvenir|stranger|traffic|umbrella|weather|whisper"
    ),
    "abstract": _list(
        "patience|honesty|curiosity|courage|gratitude|loyalty|jealousy|irony|teamwork|empathy|boredom|ambition"
        "|generosity|nostalgia|discipline|humour|luck|modesty|respect|trust"
    ),
    "concept": _list(
        "photosynthesis|gravity|evaporation|inflation|a password manager|recycling|a magnet|an echo|a rainbow|a budget"
        "|a volcano|an algorithm|the water cycle|a battery|a vaccine|interest on a loan|a solar panel|a search engine"
        "|supply and demand|an eclipse|friction|a fossil|a thermometer|democracy|a spreadsheet|erosion"
    ),
    "codelang": _list("Python|JavaScript|Java|C|Rust|Go|TypeScript"),
    "sentence": _list(
        """The committee postponed the meeting because nobody had read the report.
        We forgot to water the plants before we left.
        Our neighbours are building a small shed behind the garage.
        The bus was so full that I had to stand all the way.
        She put the letter in a drawer and never opened it again.
        The children played outside until it got dark.
        He bought a second-hand car that broke down after a week.
        The shop on the corner sells fresh bread every morning.
        I could not find my glasses although they were on my head.
        My brother cooks better than anyone else in the family.
        The teacher asked the class to be quiet during the test.
        They painted the fence green at the weekend.
        The lift is out of order, so please use the stairs.
        You can borrow my umbrella if you bring it back tomorrow.
        The concert started late, but nobody seemed to mind.
        After lunch we walked along the river and fed the ducks.
        The new printer makes a strange noise when it starts.
        Her grandmother taught her how to knit when she was six.
        The museum is closed on Mondays and on public holidays.
        I will call you as soon as the parcel arrives.
        The path through the forest was covered with leaves.
        Nobody noticed that the picture was hanging upside down.
        We ordered soup and salad because it was too hot for meat.
        The baby slept through the whole thunderstorm.
        He writes down everything so that he does not forget it.
        The old bridge was repaired after the flood.
        Her phone rang in the middle of the film.
        The cook added too much salt to the stew.
        They moved the piano into the hall to make room for the desk.
        A cold wind blew across the empty square."""
    ),
    "plain": _list(
        """The soup is cold.|Close the window.|I cannot come on Friday.|The food was bad.|We need more time.
        Your answer is wrong.|The room is too small.|I do not like this plan.|Bring the keys.|The show was boring.
        You forgot the invoice.|Send the file again.|This coffee is weak.|The train is late.|I want a refund.
        Your music is too loud.|Pay by Friday.|The printer is broken again.|He never answers my mails.|Wait outside."""
    ),
    "wrong": _list(
        """She dont like the new teacher.|I has two brother and one sister.|Yesterday we goes to the cinema.
        Their going to they're house tomorrow.|He didnt knew the answer.|The childs was playing in the gardn.
        I am agree with you.|Can you borrow me your pen?|There is many reasons for this.|Its been raining since three days.
        The informations are on the webside.|Me and him was late for the meting.|She is more taller than her sister.
        I look forward to hear from you.|We discused about the problem.|He have a beautifull garden.|Where is you going?
        I seen that movie last weak.|The dog wagged it's tale.|Everyone are happy with the resullt.
        I could of done it better.|This are my favorite shoe.|She speak english very good.|Tomorow I will went to the dentist.
        The weather is to hot too day.|Who's book is this one?|We was waiting since an hour.|They sended the parcel yesturday.
        He is interested on history.|I didn't had no time for brekfast."""
    ),
    "review": _list(
        """The pump leaked after two days and nobody answered my calls.|Lovely staff, warm rooms, and the best pie in town.
        It does what it should, no more and no less.|I fell asleep twice during this film.|My kids play with it every day.
        The delivery took five weeks, but the table is beautiful.|Never again. The soup was cold and the bill was wrong.
        The zip broke on the first trip.|A quiet little hotel with a wonderful view.|The battery lasts for days, I am impressed.
        The book starts slowly but the ending made me cry.|Okay for the price.|The shoes hurt from the first minute.
        What a concert, I would go again tomorrow!|The app crashes whenever I open a photo.|Friendly driver, clean car.
        The instructions were useless and a screw was missing.|The tea tastes of nothing at all.|I use this pan every single day.
        Not sure yet, I will have to try it a bit longer.|The waiter forgot us, then brought us a free dessert.
        Best haircut in years.|The chair wobbles, and the seller blames me.|The course taught me more than a whole year at school."""
    ),
    "headline": _list(
        """Local team wins cup after penalty shoot-out|Central bank leaves interest rates unchanged
        New vaccine trial begins in spring|Storm tears roofs off houses on the coast|Museum opens exhibition of old maps
        Parliament debates new rent law|Phone maker presents foldable model|Young pianist fills concert hall
        Scientists find new beetle in rainforest|Airline cancels flights because of strike|Mayor promises more bicycle lanes
        Goalkeeper signs for three more years|Chip factory to bring two thousand jobs|Novel about lighthouse keeper wins prize
        Heavy snow closes mountain pass|Hospital gets new children's ward|Shares of car makers fall sharply|Old cinema saved by neighbours"""
    ),
}
