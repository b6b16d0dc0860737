package db

import (
	"context"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// secretsOf lists the places of an integration that hold a secret, each with a stable name.
func secretsOf(in *keyturn.Integration) map[string]**keyturn.SecretRef {
	refs := map[string]**keyturn.SecretRef{
		"auth.password": &in.Auth.Password, "auth.token": &in.Auth.Token, "auth.clientSecret": &in.Auth.ClientSecret, "tls.clientKey": &in.TLS.ClientKey,
	}
	for _, op := range in.Operations {
		if op.Signature != nil {
			refs["signature"] = &op.Signature.Secret // one active key per integration (Nexway contract §2)
		}
	}
	return refs
}

// forSignatures runs over every operation's signature, which share one secret.
func forSignatures(in *keyturn.Integration, fn func(*keyturn.Signature)) {
	for _, op := range in.Operations {
		if op.Signature != nil {
			fn(op.Signature)
		}
	}
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
	forSignatures(&out, func(s *keyturn.Signature) {
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
	forSignatures(&in, func(s *keyturn.Signature) { s.Secret = &keyturn.SecretRef{Value: secrets["signature"]} })
	return in, row.Version, nil
}
