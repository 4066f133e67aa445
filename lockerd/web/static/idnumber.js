// Check of an 18-character citizen number (GB 11643-1999) while it is typed; the daemon checks again.

const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS = "10X98765432";

/** Whether digits 7 to 14 are a day between 1900 and today. */
export function plausibleBirth(number, today = new Date()) {
  const [year, month, day] = [number.slice(6, 10), number.slice(10, 12), number.slice(12, 14)].map(Number);
  const birth = new Date(year, month - 1, day);
  return year >= 1900 && birth.getFullYear() === year && birth.getMonth() === month - 1 && birth.getDate() === day
    && birth <= today;
}

/** The check character of ISO 7064 MOD 11-2 for 17 digits. */
export function checkCharacter(digits) {
  const sum = WEIGHTS.reduce((total, weight, place) => total + weight * Number(digits[place]), 0);
  return CHECKS[sum % 11];
}

/** "more" while it is incomplete, then "date", "check" or "good". A wrong date is told as soon as it is typed. */
export function judge(number) {
  if (number.length >= 14 && !plausibleBirth(number)) return "date";
  if (number.length < 18) return "more";
  return /^[0-9]{17}[0-9X]$/.test(number) && checkCharacter(number) === number[17] ? "good" : "check";
}
