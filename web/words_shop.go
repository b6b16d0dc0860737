package web

// shopWords are the texts about the shop itself, below every page.
type shopWords struct{ seller, questions, terms, privacy, imprint string }

var (
	englishShop = shopWords{
		seller: "Sold by {seller}", questions: "Questions?", terms: "Terms", privacy: "Privacy", imprint: "Legal notice",
	}
	frenchShop = shopWords{
		seller: "Vendu par {seller}", questions: "Une question\u00a0?", terms: "Conditions générales de vente",
		privacy: "Confidentialité", imprint: "Mentions légales",
	}
	germanShop = shopWords{
		seller: "Verkauft von {seller}", questions: "Fragen?", terms: "AGB", privacy: "Datenschutz", imprint: "Impressum",
	}
)
