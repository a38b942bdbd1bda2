package profile

// numberCheck recognises a kind of number by its length and its check digits.
type numberCheck struct {
	name   string
	digits int
	valid  func(d []byte) bool // d holds the values of the digits
	date   bool                // it is a date and not a number of a person
}

// numberChecks are compared with values of digits only. Random digits pass a check with a
// probability of at most 1 in 9, so a column passes if nearly all its values do.
var numberChecks = []numberCheck{
	{"national number of Luxembourg", 13, isLuxembourg, false},
	{"national number of Belgium", 11, isBelgian, false},
	{"social security number of France", 15, isFrench, false},
	{"tax number of Germany", 11, isGerman, false},
	{"PESEL number of Poland", 11, isPolish, false},
	{"NHS number of the United Kingdom", 10, isNHS, false},
	{"BSN of the Netherlands", 9, isDutch, false},
	{"date of 8 digits", 8, isDateDigits, true},
}

// number returns the value of digits.
func number(d []byte) (n uint64) {
	for _, x := range d {
		n = 10*n + uint64(x)
	}
	return n
}

// weighted returns the sum of the digits multiplied by weights.
func weighted(d []byte, weights ...int) (sum int) {
	for i, w := range weights {
		sum += w * int(d[i])
	}
	return sum
}

// isLuxembourg: date of birth, serial number, and the check digits of Luhn and Verhoeff,
// each over the first eleven digits.
func isLuxembourg(d []byte) bool {
	if !isDateDigits(d[:8]) {
		return false
	}
	sum := 0
	for i := range 11 {
		x := int(d[10-i])
		if i%2 == 0 {
			if x *= 2; x > 9 {
				x -= 9
			}
		}
		sum += x
	}
	if int(d[11]) != (10-sum%10)%10 {
		return false
	}
	c := verhoeffProduct[0][verhoeffPermutation[0][d[12]]]
	for i := range 11 {
		c = verhoeffProduct[c][verhoeffPermutation[(i+1)%8][d[10-i]]]
	}
	return c == 0
}

// verhoeffProduct and verhoeffPermutation are the tables of Verhoeff's check digit: the
// multiplication of the dihedral group of order 10, and the powers of a permutation.
var verhoeffProduct, verhoeffPermutation = func() (product [10][10]int, permutation [8][10]int) {
	for i := range 10 {
		for j := range 10 {
			n := i + j
			if i >= 5 {
				n = i - j + 10
			}
			product[i][j] = n % 5
			if (i < 5) != (j < 5) {
				product[i][j] += 5
			}
		}
	}
	permutation[0] = [10]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	permutation[1] = [10]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	for i := 2; i < 8; i++ {
		for j := range 10 {
			permutation[i][j] = permutation[i-1][permutation[1][j]]
		}
	}
	return product, permutation
}()

// isBelgian: date of birth, serial number and 97 minus the remainder of the first nine
// digits; people born since 2000 have a 2 before them.
func isBelgian(d []byte) bool {
	first, check := number(d[:9]), number(d[9:])
	return check == 97-first%97 || check == 97-(2_000_000_000+first)%97
}

// isFrench: sex, year and month of birth, place, serial number and 97 minus the remainder
// of the first thirteen digits.
func isFrench(d []byte) bool {
	return d[0] != 0 && number(d[13:]) == 97-number(d[:13])%97
}

// isGerman: the check digit of ISO 7064, MOD 11,10.
func isGerman(d []byte) bool {
	product := 10
	for _, x := range d[:10] {
		sum := (int(x) + product) % 10
		if sum == 0 {
			sum = 10
		}
		product = 2 * sum % 11
	}
	return d[0] != 0 && int(d[10]) == (11-product)%10
}

func isPolish(d []byte) bool {
	return int(d[10]) == (10-weighted(d, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3)%10)%10
}

func isNHS(d []byte) bool {
	return int(d[9]) == (11-weighted(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11)%11
}

func isDutch(d []byte) bool {
	return (weighted(d, 9, 8, 7, 6, 5, 4, 3, 2)-int(d[8])+11)%11 == 0
}

// isDateDigits: year, month and day.
func isDateDigits(d []byte) bool {
	return isDay(int(number(d[:4])), int(number(d[4:6])), int(number(d[6:8])))
}
