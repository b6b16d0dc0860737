package stock

import "keyturn.dev/keyturn"

// SealedKey is a key of a pool, encrypted.
type SealedKey struct {
	PoolID      string `db:"pool_id"`
	DataKey     []byte `db:"data_key"`
	Content     []byte `db:"content"`
	Fingerprint []byte `db:"fingerprint"`

	// Only of a key that was just taken.
	KeyID    int64 `db:"key_id"`
	Position int64 `db:"position"`

	// Only where a line's keys are read.
	UnitNo   int  `db:"unit_no"`
	Recalled bool `db:"recalled"` // another key took its place
}

// Open decrypts keys.
func (s *Stock) Open(sealed []SealedKey) ([]keyturn.Secret, error) {
	codes := make([]keyturn.Secret, 0, len(sealed))
	for _, k := range sealed {
		dk, err := s.keys.OpenDataKey(k.DataKey, DataKeyOwner(k.PoolID))
		if err != nil {
			return nil, err
		}
		plain, err := dk.Open(k.Content, KeyPlace(k.PoolID, k.Fingerprint))
		if err != nil {
			return nil, err
		}
		codes = append(codes, keyturn.Secret(plain))
	}
	return codes, nil
}

// DataKeyOwner is whose the data key of a pool is.
func DataKeyOwner(pool string) string { return "pool/" + pool }

// KeyPlace is where a pool key's ciphertext belongs: its pool and its fingerprint.
func KeyPlace(pool string, fingerprint []byte) string {
	return "pool_keys/" + pool + "/" + string(fingerprint)
}
