package activities

import (
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
)

// RenderLibrary makes the e-mail with a link to a customer's library, as it is stored.
func (l Letters) RenderLibrary(f db.LibraryMailFacts) ([]byte, error) {
	message, err := l.libraryMessage(f)
	if err != nil {
		return nil, err
	}
	return l.sealed(message)
}

func (l Letters) libraryMessage(f db.LibraryMailFacts) (mail.Message, error) {
	return mail.RenderLibrary(mail.Content{
		Envelope: l.tagged(l.envelope(f.Shop, f.ID, f.Customer.Email, f.Now), f.Ref), Shop: l.shop(f.Shop),
		Locale:   f.Customer.Locale,
		Customer: mail.Customer{FirstName: f.Customer.FirstName, LastName: f.Customer.LastName},
	}, l.PublicURL+"/library/"+f.Token, f.ExpiresAt)
}
