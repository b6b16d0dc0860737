package db

import (
	"context"
	"encoding/json"
	"maps"
	"strings"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// secretName is under which name the secret at a path is kept: the operations of an integration share one signing key
// (docs/understand/partner-contract.md, Signing).
func secretName(at string) string {
	if strings.HasSuffix(at, signatureSecret) {
		return "signature"
	}
	return at
}

const signatureSecret = ".signature.secret"

// secretsOf gives an integration's secrets by the names under which they are kept.
func secretsOf(in *keyturn.Integration) map[string]string {
	secrets := map[string]string{}
	in.Secrets(func(at string, ref *keyturn.SecretRef) { secrets[secretName(at)] = ref.Value })
	return secrets
}

// oneSigningSecret refuses operations that are sent with different secrets.
func oneSigningSecret(in *keyturn.Integration) error {
	var bad keyturn.Problems
	first := ""
	in.Secrets(func(at string, ref *keyturn.SecretRef) {
		if !strings.HasSuffix(at, signatureSecret) || ref.Value == "" {
			return
		}
		if first == "" {
			first = ref.Value
		}
		bad.Check(ref.Value == first, at, "must be the same for all operations: an integration has one signing secret")
	})
	return bad.Err("the integration is not valid")
}

// PutIntegration stores a checked integration. Secrets are kept apart, encrypted; one that is sent without a value
// keeps the value it had, as long as the integration stays with the servers that it was given for.
func (d *DB) PutIntegration(ctx context.Context, in keyturn.Integration) (created, changed bool, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &[]string{}, `SELECT id FROM integrations WHERE id = $1 FOR UPDATE`,
			in.ID); err != nil {
			return err
		}
		secrets := map[string]string{}
		old, _, err := d.integration(ctx, tx, in.ID)
		if err == nil {
			secrets = secretsOf(&old)
		} else if keyturn.KindOf(err) != keyturn.KindConfiguration {
			return err
		}
		stored, fresh, err := withoutSecrets(in, old, secrets)
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
		sealed, err := d.keys.Wrap(text, "integrations/"+in.ID)
		if err != nil {
			return err
		}
		var made []bool
		err = tx.SelectContext(ctx, &made, `
			INSERT INTO integrations (id, spec, secrets) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, secrets = excluded.secrets,
				version = nextval('integration_versions'), updated_at = now()
			WHERE integrations.spec <> excluded.spec OR $4
			RETURNING xmax = 0 AS created`, in.ID, string(spec), sealed, fresh)
		created, changed = len(made) == 1 && made[0], len(made) == 1
		if err == nil && changed { // what is new may be what a partner that is down was missing: the next probe goes now
			_, err = tx.ExecContext(ctx, `UPDATE partner_gates SET next_try_at = now() WHERE integration = $1`, in.ID)
		}
		return err
	})
	return created, changed, err
}

// withoutSecrets copies the integration with every secret reduced to the mark that it is set, and adds the values that
// were sent to secrets. old is the integration as it was, if it was. fresh: a value is new or different.
func withoutSecrets(in, old keyturn.Integration, secrets map[string]string) (keyturn.Integration, bool, error) {
	out, err := cloneIntegration(in)
	if err != nil {
		return out, false, err
	}
	if err := oneSigningSecret(&out); err != nil {
		return out, false, err
	}
	fresh := false
	moved := movedSince(old, in)
	given, sent := map[string]bool{}, map[string]bool{}
	out.Secrets(func(at string, ref *keyturn.SecretRef) {
		name := secretName(at)
		given[name] = true
		sent[name] = sent[name] || ref.Value != ""
		if ref.Value != "" {
			fresh = fresh || secrets[name] != ref.Value
			secrets[name] = ref.Value
		}
	})
	var bad keyturn.Problems
	out.Secrets(func(at string, ref *keyturn.SecretRef) {
		bad.Check(secrets[secretName(at)] != "", at, "has no value: give {env: NAME} or {file: PATH} in the catalog")
		bad.Check(secrets[secretName(at)] == "" || sent[secretName(at)] || moved == "", at,
			"must be given again, because %s: a stored secret is for the servers that it was given for", moved)
		*ref = keyturn.SecretRef{Set: true}
	})
	if err := bad.Err("the integration is not valid"); err != nil {
		return out, false, err
	}
	maps.DeleteFunc(secrets, func(name, _ string) bool { return !given[name] })
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
	return specOf[keyturn.Integration](ctx, d.pg, "integrations", "integration", id)
}

// Integrations gives all integrations of the prefix by ID, without their secrets.
func (d *DB) Integrations(ctx context.Context, prefix keyturn.Prefix) ([]keyturn.Integration, error) {
	return specsOf[keyturn.Integration](ctx, d.pg, "integrations", prefix)
}

// DeleteIntegration removes an integration that no product uses and whose partner is owed no cancel.
func (d *DB) DeleteIntegration(ctx context.Context, id string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := lockEntry(ctx, tx, "integrations", id); err != nil {
			return err
		}
		if err := usedBy(ctx, tx, "integration", id); err != nil {
			return err
		}
		var owed bool
		if err := tx.GetContext(ctx, &owed, `SELECT EXISTS (SELECT FROM revocations WHERE status = 'OWED' AND source = $1)`,
			partnerSource(id)); err != nil {
			return err
		}
		if owed {
			return keyturn.Errorf(keyturn.KindConflict,
				"the partner of integration %s is still to be told of cancels: wait until it has acknowledged them", id)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM partner_gates WHERE integration = $1`, id); err != nil {
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
	if err := pg.NotFound(err, "x"); keyturn.KindOf(err) == keyturn.KindNotFound {
		return in, 0, keyturn.Errorf(keyturn.KindConfiguration, "integration %s is not in the catalog", id)
	} else if err != nil {
		return in, 0, err
	}
	if err := json.Unmarshal([]byte(row.Spec), &in); err != nil {
		return in, 0, err
	}
	text, err := d.keys.Unwrap(row.Secrets, "integrations/"+id)
	if err != nil {
		return in, 0, keyturn.Errorf(keyturn.KindConfiguration,
			"the secrets of integration %s do not open: the key file is not the one they were stored with", id)
	}
	secrets := map[string]string{}
	if err := json.Unmarshal(text, &secrets); err != nil {
		return in, 0, err
	}
	in.Secrets(func(at string, ref *keyturn.SecretRef) { *ref = keyturn.SecretRef{Value: secrets[secretName(at)]} })
	for _, op := range in.Operations { // an operation that names no signing key uses the one that another one names
		if op.Signature != nil && op.Signature.Secret == nil {
			op.Signature.Secret = &keyturn.SecretRef{Value: secrets["signature"]}
		}
	}
	return in, row.Version, nil
}
