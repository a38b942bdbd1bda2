package postgres

import (
	"testing"

	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
	"github.com/velonym/velonym/engine/keys/storetest"
)

// BenchmarkStore measures a keystore with many projects: see [storetest.Bench]. The
// private server of tests does not sync: VELONYM_TEST_POSTGRES names one that does.
func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, location{pgtest.Database(b, "ENCODING 'UTF8'")})
}
