package db

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// secretsOf lists the places of an integration that hold a secret, each with a stable name.
func secretsOf(in *keyturn.Integration) map[string]**keyturn.SecretRef {
	refs := map[string]**keyturn.SecretRef{
		"auth.password": &in.Auth.Password, "auth.token": &in.Auth.Token, "auth.clientSecret": &in.Auth.ClientSecret, "tls.clientKey": &in.TLS.ClientKey,
	}
	forSignatures(in, func(_ string, s *keyturn.Signature) { // one active key per integration (Nexway contract §2)
		if best := refs["signature"]; best == nil || secretRank(s.Secret) > secretRank(*best) {
			refs["signature"] = &s.Secret
		}
	})
	return refs
}

// secretRank says which of several places that share a secret speaks for them: one with a value, else one that is there.
func secretRank(ref *keyturn.SecretRef) int {
	switch {
	case ref == nil:
		return 0
	case ref.Value == "":
		return 1
	}
	return 2
}

// forSignatures runs over every operation's signature, which share one secret, in the order of their names.
func forSignatures(in *keyturn.Integration, fn func(operation string, s *keyturn.Signature)) {
	for _, name := range slices.Sorted(maps.Keys(in.Operations)) {
		if s := in.Operations[name].Signature; s != nil {
			fn(name, s)
		}
	}
}

// oneSigningSecret refuses operations that are sent with different secrets.
func oneSigningSecret(in *keyturn.Integration) error {
	var bad keyturn.Problems
	first := ""
	forSignatures(in, func(name string, s *keyturn.Signature) {
		if s.Secret == nil || s.Secret.Value == "" {
			return
		}
		if first == "" {
			first = s.Secret.Value
		}
		bad.Check(s.Secret.Value == first, "operations."+name+".signature.secret", "must be the same for all operations: an integration has one signing secret")
	})
	return bad.Err("the integration is not valid")
}

// PutIntegration stores a checked integration. Secrets are kept apart, encrypted; one that is sent without a value
// keeps the value it had.
func (d *DB) PutIntegration(ctx context.Context, in keyturn.Integration) (created, changed bool, err error) {
	err = d.tx(ctx, func(tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &[]string{}, `SELECT id FROM integrations WHERE id = $1 FOR UPDATE`, in.ID); err != nil {
			return err
		}
		secrets := map[string]string{}
		if old, _, err := d.integration(ctx, tx, in.ID); err == nil {
			for name, ref := range secretsOf(&old) {
				if *ref != nil {
					secrets[name] = (*ref).Value
				}
			}
		} else if keyturn.KindOf(err) != keyturn.KindConfiguration {
			return err
		}
		stored, fresh, err := withoutSecrets(in, secrets)
		if err != nil {
			return err
		}
		spec, err := json.Marshal(stored)
		if err != nil {
			return err
		}
		text, err := json.Marshal(secrets)
		if err != nil {
			return err
		}
		sealed, err := d.keys.kek.Encrypt(text, []byte("integrations/"+in.ID))
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `
			INSERT INTO integrations (id, spec, secrets) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, secrets = excluded.secrets, version = integrations.version + 1, updated_at = now()
			WHERE integrations.spec <> excluded.spec OR $4`, in.ID, string(spec), sealed, fresh)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		changed = n == 1
		if err == nil && changed {
			err = tx.GetContext(ctx, &created, `SELECT version = 1 FROM integrations WHERE id = $1`, in.ID)
		}
		return err
	})
	return created, changed, err
}

// withoutSecrets copies the integration with every secret reduced to the mark that it is set, and adds the values that
// were sent to secrets. fresh: a value is new or different.
func withoutSecrets(in keyturn.Integration, secrets map[string]string) (keyturn.Integration, bool, error) {
	out, err := cloneIntegration(in)
	if err != nil {
		return out, false, err
	}
	if err := oneSigningSecret(&out); err != nil {
		return out, false, err
	}
	fresh := false
	given := map[string]bool{}
	for name, ref := range secretsOf(&out) {
		if *ref == nil {
			continue
		}
		given[name] = true
		if v := (*ref).Value; v != "" {
			fresh = fresh || secrets[name] != v
			secrets[name] = v
		}
		if secrets[name] == "" {
			return out, false, &keyturn.Error{Kind: keyturn.KindInvalid, Message: "the integration is not valid", Fields: []keyturn.FieldError{
				{Location: name, Message: "has no value: give {env: NAME} or {file: PATH} in the catalog"},
			}}
		}
		*ref = &keyturn.SecretRef{Set: true}
	}
	for name := range secrets {
		if !given[name] {
			delete(secrets, name)
		}
	}
	forSignatures(&out, func(_ string, s *keyturn.Signature) {
		if s.Secret != nil {
			s.Secret = &keyturn.SecretRef{Set: true}
		}
	})
	return out, fresh, nil
}

func cloneIntegration(in keyturn.Integration) (out keyturn.Integration, err error) {
	text, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(text, &out)
}

// Integration gives an integration as it was stored, without its secrets.
func (d *DB) Integration(ctx context.Context, id string) (keyturn.Integration, error) {
	return specOf[keyturn.Integration](ctx, d.x, "integrations", "integration", id)
}

// Integrations gives all integrations by ID, without their secrets.
func (d *DB) Integrations(ctx context.Context) ([]keyturn.Integration, error) {
	return specsOf[keyturn.Integration](ctx, d.x, "integrations")
}

// DeleteIntegration removes an integration that no product uses.
func (d *DB) DeleteIntegration(ctx context.Context, id string) error {
	return d.tx(ctx, func(tx *sqlx.Tx) error {
		if err := lockEntry(ctx, tx, "integrations", id); err != nil {
			return err
		}
		if err := usedBy(ctx, tx, "integration", id); err != nil {
			return err
		}
		return deleted(tx.ExecContext(ctx, `DELETE FROM integrations WHERE id = $1`, id))
	})
}

// integration gives an integration with its secrets, for a call. KindConfiguration when it is gone.
func (d *DB) integration(ctx context.Context, q sqlx.QueryerContext, id string) (keyturn.Integration, int64, error) {
	var row struct {
		Version int64  `db:"version"`
		Spec    string `db:"spec"`
		Secrets []byte `db:"secrets"`
	}
	var in keyturn.Integration
	err := sqlx.GetContext(ctx, q, &row, `SELECT version, spec, secrets FROM integrations WHERE id = $1`, id)
	if err := notFound(err, "x"); keyturn.KindOf(err) == keyturn.KindNotFound {
		return in, 0, keyturn.Errorf(keyturn.KindConfiguration, "integration %s is not in the catalog", id)
	} else if err != nil {
		return in, 0, err
	}
	if err := json.Unmarshal([]byte(row.Spec), &in); err != nil {
		return in, 0, err
	}
	text, err := d.keys.kek.Decrypt(row.Secrets, []byte("integrations/"+id))
	if err != nil {
		return in, 0, keyturn.Errorf(keyturn.KindConfiguration, "the secrets of integration %s do not open: the key file is not the one they were stored with", id)
	}
	secrets := map[string]string{}
	if err := json.Unmarshal(text, &secrets); err != nil {
		return in, 0, err
	}
	for name, ref := range secretsOf(&in) {
		if *ref != nil {
			*ref = &keyturn.SecretRef{Value: secrets[name]}
		}
	}
	forSignatures(&in, func(_ string, s *keyturn.Signature) { s.Secret = &keyturn.SecretRef{Value: secrets["signature"]} })
	return in, row.Version, nil
}
