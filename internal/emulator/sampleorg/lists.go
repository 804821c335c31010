package sampleorg

type locale struct {
	country, mail, form, phone string
	women, men, lasts, streets []string
	cities                     []city
}

type city struct{ name, state, code string }

// The word lists are constants of the package.
var (
	lists = [...]locale{
		{
			country: "Austria", mail: "bergpost", form: "GmbH", phone: "+43 1 555 01%02d %02d",
			women:   []string{"Anna", "Lena", "Marlies", "Theresia", "Verena", "Ilse", "Katharina", "Judith", "Romana", "Sieglinde", "Petra", "Birgit", "Eva", "Johanna"},
			men:     []string{"Lukas", "Matthias", "Florian", "Benedikt", "Gregor", "Ulrich", "Stefan", "Jakob", "Clemens", "Severin", "Paul", "Anton", "Konrad"},
			lasts:   []string{"Almberger", "Brunnthaler", "Dornauer", "Edlinger", "Feichtner", "Grubenthal", "Hochreith", "Innerebner", "Jochberg", "Kaltenegg", "Lindmoser", "Moosbichler", "Niederthal", "Oberlechtner", "Pirchmoos", "Quellgruber", "Rauchegger", "Steinwandter", "Traunfelder", "Unterweger-Moos", "Vorderleitner", "Wiesflecker", "Zirmbach"},
			streets: []string{"Almweg", "Brunnengasse", "Dorfstraße", "Hochsteig", "Kirchplatz", "Lindenallee", "Mühlbachweg", "Sonnleiten"},
			cities:  []city{{"Oberkaltbach", "Tirol", "6991"}, {"Steinmoos", "Salzburg", "5992"}, {"Lindau im Tal", "Steiermark", "8993"}, {"Neu-Grünfeld", "Wien", "1994"}},
		},
		{
			country: "Ireland", mail: "harbourmail", form: "Ltd", phone: "+353 20 91%02d 5%02d",
			women:   []string{"Aoife", "Maeve", "Sorcha", "Orla", "Fionnuala", "Bridget"},
			men:     []string{"Declan", "Eoin", "Cormac", "Niall", "Ruairi", "Donal"},
			lasts:   []string{"O'Carrowbeg", "Mac Tolan", "Ballyhane", "Kilduff-Reyes", "Dunmorrow", "Finnegale", "Tullabeg"},
			streets: []string{"Harbour Row", "Quay Lane", "Mill Road", "St. Brannock's Terrace"},
			cities:  []city{{"Carrowport", "Mayo", "F99 X001"}, {"Dunquin Bay", "Kerry", "V99 X002"}, {"Ballymorrow", "Cork", "T99 X003"}},
		},
		{
			country: "Czechia", mail: "postovna", form: "s.r.o.", phone: "+420 600 555 0%02d %02d",
			women:   []string{"Bohdana", "Ludmila", "Zdena", "Šárka", "Květa"},
			men:     []string{"Bořivoj", "Dalibor", "Hynek", "Vlastimil", "Zbyšek"},
			lasts:   []string{"Hradecovský", "Lipnický-Vrba", "Podlesný", "Studánka", "Zvonař", "Ječmínek"},
			streets: []string{"Lipová", "Na Stráni", "U Studánky", "Zvonařská"},
			cities:  []city{{"Horní Lipná", "Vysočina", "99 001"}, {"Studánky", "Morava", "99 002"}},
		},
		{
			country: "日本", mail: "yamayuubin", form: "KK", phone: "+81 3 5550 01%02d %02d",
			women:   []string{"さくら", "美咲", "陽子"},
			men:     []string{"健太", "大輔", "翔"},
			lasts:   []string{"山野辺", "雪村", "高木沢", "青葉野"},
			streets: []string{"桜通り", "青葉町"},
			cities:  []city{{"青葉野市", "山野県", "999-0001"}},
		},
		{
			country: "Ελλάδα", mail: "thalassa", form: "AE", phone: "+30 21 0555 01%02d %02d",
			women:   []string{"Ελένη", "Δήμητρα"},
			men:     []string{"Γιώργος", "Σπύρος"},
			lasts:   []string{"Θαλασσινός", "Πετρόπουλος-Νεράκης", "Αμπελάς"},
			streets: []string{"Οδός Ελιάς", "Λεωφόρος Θάλασσας"},
			cities:  []city{{"Νέα Αμμουδιά", "Αττική", "99901"}},
		},
	}
	titles    = []string{"Managing Director", "Head of Purchasing", "Store Manager", "Accountant", "Mountain Guide", "IT Administrator", "Assistant", "Logistics Planner", "Owner", "Sales Representative", "Service Technician"}
	companyA  = []string{"Gipfelstern", "Moosbach", "Harbourline", "Silberdistel", "Nordgrat", "Kaltwasser", "Brightwell", "Zirbenhof", "Tullamoor", "Edelquell", "Lipnicka", "Wetterfels", "Greenhollow", "Sonnspitz", "Fjellrand", "Karstein", "Oakmarrow", "Quellental", "Rosskogel", "Tarnbridge", "Ulmenau", "Vallmoor", "Wildgrat", "Yarrowfield", "Zwölferstein"}
	companyB  = []string{"Sporthandel", "Bergschule", "Logistik", "Outfitters", "Touristik", "Werkstätten", "Hotels", "Skiverleih", "Trading", "Forst", "Seilbahnen", "Consulting"}
	productA  = []string{"Rucksack", "Climbing Rope", "Headlamp", "Trekking Boot", "Tent", "Sleeping Bag", "Snowshoe", "Ice Axe", "Rain Jacket", "Camp Stove", "Thermos Flask", "Avalanche Probe", "Bike Light", "Water Filter", "Hiking Pole"}
	productB  = []string{"Gams 30", "Murmel", "Steinbock Pro", "Enzian", "Föhn 2", "Lärche", "Zirbe Light", "Adler XL"}
	subjectA  = []string{"Question about the", "Broken", "Late delivery of the", "Return of the", "Wrong colour of the", "Warranty for the", "Spare part for the", "Offer for the", "Repair of the", "Invoice for the"}
	sentences = []string{
		"The customer called and asked when the delivery will arrive.",
		"We agreed to send a replacement by Thursday, free of charge.",
		"Please call back after 4 p.m., mornings are difficult.",
		"The zipper failed on the second tour; pictures are attached.",
		"An offer for twelve pieces was requested, including the spring discount.",
		"The invoice was paid twice and the difference has to be returned.",
		"They would like to meet at the fair and see the new series.",
		"The address on the label was wrong, the parcel came back.",
		"Size 42 is out of stock until the end of the month.",
		"The guide asked whether the rope may be used on glaciers.",
		"Nobody answered at the front desk; left a message.",
		"The warranty is valid for three years from the day of purchase.",
	}
	foreign = []string{
		"お問い合わせありがとうございます。配送は来週の予定です。",
		"Спасибо за ваш заказ, мы перезвоним завтра.",
		"Ευχαριστούμε για την παραγγελία σας.",
		"شكرا لكم، سيصل الطلب يوم الخميس.",
		"תודה רבה על ההזמנה 😀",
		"谢谢您的订购，包裹已寄出。",
		"Grüße aus dem Gebirge – 20 € Rabatt 👍🏽",
		"Zażółć gęślą jaźń; naïve café ≤ 5 µm",
		"नमस्ते, आपका पार्सल कल पहुँचेगा।",
		"e\u0301 and é, \u200ftext\u200e \"quoted\" <b>&amp;</b> \\ / \t tab",
	}
)
