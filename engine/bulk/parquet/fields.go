package parquet

import "github.com/parquet-go/parquet-go/format"

// Field ids of the structs in parquet.thrift.
const (
	// FileMetaData
	fileSchema     = 2
	fileRows       = 3
	fileRowGroups  = 4
	fileKeyValues  = 5
	fileEncryption = 8

	// KeyValue
	keyValueKey   = 1
	keyValueValue = 2

	// SchemaElement
	elementType       = 1
	elementLength     = 2
	elementRepetition = 3
	elementName       = 4
	elementChildren   = 5
	elementConverted  = 6
	elementScale      = 7
	elementPrecision  = 8
	elementLogical    = 10

	// RowGroup
	groupColumns  = 1
	groupUnpacked = 2
	groupRows     = 3
	groupSorting  = 4
	groupOffset   = 5
	groupPacked   = 6
	groupOrdinal  = 7

	// SortingColumn
	sortingColumn = 1

	// ColumnChunk
	chunkFilePath          = 1
	chunkFileOffset        = 2
	chunkMeta              = 3
	chunkOffsetIndexOffset = 4
	chunkOffsetIndexLength = 5
	chunkColumnIndexOffset = 6
	chunkColumnIndexLength = 7
	chunkCrypto            = 8
	chunkEncryptedMeta     = 9

	// ColumnMetaData
	metaType           = 1
	metaEncodings      = 2
	metaCodec          = 4
	metaValues         = 5
	metaUnpacked       = 6
	metaPacked         = 7
	metaKeyValues      = 8
	metaDataOffset     = 9
	metaIndexOffset    = 10
	metaDictOffset     = 11
	metaStatistics     = 12
	metaEncodingStats  = 13
	metaBloomOffset    = 14
	metaBloomLength    = 15
	metaSizeStatistics = 16
	metaGeoStatistics  = 17

	// Statistics, SizeStatistics
	statisticsNulls    = 3
	sizeStatisticsText = 1

	// OffsetIndex, PageLocation
	offsetIndexLocations = 1
	offsetIndexText      = 2
	locationOffset       = 1
	locationSize         = 2

	// PageHeader
	pageType     = 1
	pageUnpacked = 2
	pagePacked   = 3
	pageCRC      = 4
	pageData     = 5
	pageDict     = 7
	pageDataV2   = 8

	// DataPageHeader
	dataValues             = 1 // of DataPageHeaderV2 too
	dataEncoding           = 2
	dataDefinitionEncoding = 3
	dataRepetitionEncoding = 4
	dataStatistics         = 5

	// DataPageHeaderV2
	dataV2Encoding         = 4
	dataV2DefinitionLength = 5
	dataV2RepetitionLength = 6
	dataV2Compressed       = 7
	dataV2Statistics       = 8

	// DictionaryPageHeader
	dictValues   = 1
	dictEncoding = 2
	dictSorted   = 3

	// PageEncodingStats
	encodingStatsPage     = 1
	encodingStatsEncoding = 2
	encodingStatsCount    = 3

	// BloomFilterHeader
	bloomBytes = 1
)

// Field ids of the union LogicalType.
const (
	logicalString    = 1
	logicalEnum      = 4
	logicalDecimal   = 5
	logicalDate      = 6
	logicalTime      = 7
	logicalTimestamp = 8
	logicalInteger   = 10
	logicalUnknown   = 11
	logicalJSON      = 12
	logicalUUID      = 14
	logicalVariant   = 16

	// DecimalType
	decimalScale     = 1
	decimalPrecision = 2

	// IntType
	integerBits   = 1
	integerSigned = 2
)

// Values of ConvertedType.
const (
	convertedUTF8            = 0
	convertedEnum            = 4
	convertedDecimal         = 5
	convertedDate            = 6
	convertedTimestampMicros = 10
	convertedUint8           = 11
	convertedUint64          = 14
	convertedInt8            = 15
	convertedInt64           = 18
	convertedJSON            = 19
)

var logicalNames = map[int16]string{2: "MAP", 3: "LIST", 5: "DECIMAL", 6: "DATE", 7: "TIME", 8: "TIMESTAMP", 10: "INTEGER",
	13: "BSON", 14: "UUID", 15: "FLOAT16", logicalVariant: "VARIANT", 17: "GEOMETRY", 18: "GEOGRAPHY"}

var convertedNames = map[int64]string{1: "MAP", 2: "MAP_KEY_VALUE", 3: "LIST", 5: "DECIMAL", 6: "DATE", 7: "TIME_MILLIS", 8: "TIME_MICROS",
	9: "TIMESTAMP_MILLIS", 10: "TIMESTAMP_MICROS", 20: "BSON", 21: "INTERVAL"}

// plainDictionary is the encoding that old writers state for indexes (RLEDictionary
// today) in data pages and for Plain in dictionary pages.
const plainDictionary format.Encoding = 2
