package mail

import (
	"fmt"

	"keyturn.dev/keyturn"
)

// Notice is the input of RenderNotice besides the Content, whose keys and attachments it ignores.
type Notice struct {
	Operation keyturn.OperationName // renew, upgrade, pause, resume or cancel; any other is told in general words
}

// RenderNotice renders the mail about an operation on a licence that keeps its key. It contains no key and no
// attachment, whatever the Content holds. The error is KindInvalid: a wrong envelope.
func RenderNotice(c Content, n Notice) (Message, error) {
	w := wordsFor(c.Locale)
	said, ok := w.notices[n.Operation]
	if !ok {
		said = w.notices[""]
	}
	product := oneLine(c.ProductName)
	f := newFrame(w, c)
	f.Paragraphs = []string{fmt.Sprintf(said.text, product), said.key}
	return f.composeParagraphs(c.Envelope, fmt.Sprintf(said.subject, product))
}

// noticeWords take the product's name in subject and text.
type noticeWords struct{ subject, text, key string }

var englishNotices = map[keyturn.OperationName]noticeWords{
	"": {"Your %s licence was changed", "Your licence for %s was changed.", "Your key stays the same."},
	keyturn.OpRenew: {
		"Your %s licence was renewed", "Thank you: your licence for %s was renewed.",
		"Your key stays the same; you do not have to do anything.",
	},
	keyturn.OpUpgrade: {
		"Your licence was upgraded to %s", "Thank you: your licence was upgraded to %s.",
		"Your key stays the same; you may have to restart the product.",
	},
	keyturn.OpPause: {
		"Your %s licence is paused", "Your licence for %s is paused.",
		"It can be resumed with the same key.",
	},
	keyturn.OpResume: {
		"Your %s licence is active again", "Your licence for %s is active again.",
		"Your key stays the same.",
	},
	keyturn.OpCancel: {
		"Your %s licence was canceled", "Your licence for %s was canceled.",
		"Its key does not work any more.",
	},
}

var frenchNotices = map[keyturn.OperationName]noticeWords{
	"": {
		"Votre licence %s a été modifiée", "Votre licence pour %s a été modifiée.",
		"Votre clé reste la même.",
	},
	keyturn.OpRenew: {
		"Votre licence %s est renouvelée", "Merci\u00a0: votre licence pour %s est renouvelée.",
		"Votre clé reste la même\u00a0; vous n’avez rien à faire.",
	},
	keyturn.OpUpgrade: {
		"Votre licence passe à %s", "Merci\u00a0: votre licence passe à %s.",
		"Votre clé reste la même\u00a0; il peut être nécessaire de redémarrer le produit.",
	},
	keyturn.OpPause: {
		"Votre licence %s est suspendue", "Votre licence pour %s est suspendue.",
		"Elle peut être réactivée avec la même clé.",
	},
	keyturn.OpResume: {
		"Votre licence %s est de nouveau active", "Votre licence pour %s est de nouveau active.",
		"Votre clé reste la même.",
	},
	keyturn.OpCancel: {
		"Votre licence %s est résiliée", "Votre licence pour %s est résiliée.",
		"Sa clé ne fonctionne plus.",
	},
}

var germanNotices = map[keyturn.OperationName]noticeWords{
	"": {
		"Ihre Lizenz für %s wurde geändert", "Ihre Lizenz für %s wurde geändert.",
		"Ihr Schlüssel bleibt derselbe.",
	},
	keyturn.OpRenew: {
		"Ihre Lizenz für %s wurde verlängert", "Vielen Dank: Ihre Lizenz für %s wurde verlängert.",
		"Ihr Schlüssel bleibt derselbe, Sie müssen nichts tun.",
	},
	keyturn.OpUpgrade: {
		"Ihre Lizenz gilt jetzt für %s", "Vielen Dank: Ihre Lizenz gilt jetzt für %s.",
		"Ihr Schlüssel bleibt derselbe; vielleicht müssen Sie das Programm neu starten.",
	},
	keyturn.OpPause: {
		"Ihre Lizenz für %s ruht", "Ihre Lizenz für %s ruht.",
		"Sie kann mit demselben Schlüssel fortgesetzt werden.",
	},
	keyturn.OpResume: {
		"Ihre Lizenz für %s gilt wieder", "Ihre Lizenz für %s gilt wieder.",
		"Ihr Schlüssel bleibt derselbe.",
	},
	keyturn.OpCancel: {
		"Ihre Lizenz für %s wurde beendet", "Ihre Lizenz für %s wurde beendet.",
		"Ihr Schlüssel gilt nicht mehr.",
	},
}
