#include "ops/step_tables.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace taskfold {
namespace {

/// Groups that are compared with one another; their number squared bounds the time.
constexpr size_t kMaxGroups = 128;

using Tokens = std::array<uint64_t, kNumberTokens>;

std::vector<uint64_t> AsVector(const Tokens& tokens) { return {tokens.begin(), tokens.end()}; }

double XLogX(double x) { return x > 0 ? x * std::log2(x) : 0; }

/// Bits of the tokens with the best table, and of that table as stored (CodeTable::Write).
double TokenBits(const Tokens& a, const Tokens* b) {
  double total = 0, sum = 0;
  std::array<double, kNumberTokens> counts;
  size_t size = 0;
  for (size_t s = 0; s < kNumberTokens; s++) {
    counts[s] = static_cast<double>(a[s] + (b ? (*b)[s] : 0));
    total += counts[s];
    sum += XLogX(counts[s]);
    if (counts[s] > 0) size = s + 1;
  }
  double bytes = 1 + static_cast<double>(size);
  for (size_t s = 0; s < size; s++) bytes += counts[s] / total * kRansTotal >= 128 ? 1 : 0;
  return XLogX(total) - sum + 8 * bytes;
}

double GroupBits(const StepCounts& a, const StepCounts* b) {
  return TokenBits(a.run, b ? &b->run : nullptr) + TokenBits(a.level, b ? &b->level : nullptr);
}

/// Bits that a pair's tables spend on each token.
struct Prices {
  std::array<double, kNumberTokens> run, level;
  explicit Prices(const StepPair& pair) {
    Fill(pair.run, &run);
    Fill(pair.level, &level);
  }
  double Of(const StepCounts& counts) const { return Sum(counts.run, run) + Sum(counts.level, level); }

 private:
  static void Fill(const CodeTable& table, std::array<double, kNumberTokens>* prices) {
    for (size_t s = 0; s < kNumberTokens; s++) {
      const uint32_t frequency = table.Frequency(s);
      // Dear enough that a table without the token is never chosen, and no 0 · ∞.
      (*prices)[s] = frequency > 0 ? kRansBits - std::log2(frequency) : 1e30;
    }
  }
  static double Sum(const Tokens& tokens, const std::array<double, kNumberTokens>& prices) {
    double bits = 0;
    for (size_t s = 0; s < kNumberTokens; s++) bits += static_cast<double>(tokens[s]) * prices[s];
    return bits;
  }
};

StepPair Fit(const StepCounts& counts) {
  return {CodeTable::Fit(AsVector(counts.run)), CodeTable::Fit(AsVector(counts.level))};
}

/// Tensors that share tables.
struct Group {
  StepCounts counts;
  std::vector<size_t> tensors;
  double bits = 0;  ///< GroupBits
};

/// Tensors with entries, those with the most first.
std::vector<size_t> BySize(const std::vector<StepCounts>& tensors) {
  std::vector<size_t> order;
  for (size_t t = 0; t < tensors.size(); t++) {
    if (tensors[t].entries() > 0) order.push_back(t);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return tensors[a].entries() > tensors[b].entries(); });
  return order;
}

void Join(const std::vector<StepCounts>& tensors, size_t tensor, Group* group) {
  group->counts += tensors[tensor];
  group->tensors.push_back(tensor);
}

/// A group for each of the largest tensors, and the others where they cost least.
std::vector<Group> FirstGroups(const std::vector<StepCounts>& tensors) {
  const std::vector<size_t> order = BySize(tensors);
  std::vector<Group> groups(std::min(order.size(), kMaxGroups));
  for (size_t g = 0; g < groups.size(); g++) Join(tensors, order[g], &groups[g]);
  if (order.size() <= groups.size()) return groups;
  std::vector<Prices> prices;
  for (const Group& group : groups) {
    StepCounts smooth = group.counts;  // every token has a price
    for (auto* tokens : {&smooth.run, &smooth.level}) {
      for (uint64_t& count : *tokens) count++;
    }
    prices.emplace_back(Fit(smooth));
  }
  for (size_t i = groups.size(); i < order.size(); i++) {
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t g = 0; g < groups.size(); g++) {
      const double bits = prices[g].Of(tensors[order[i]]);
      if (bits < least) {
        least = bits;
        best = g;
      }
    }
    Join(tensors, order[i], &groups[best]);
  }
  return groups;
}

/// Joins the two groups whose union saves most, as long as one saves anything.
void MergeGroups(std::vector<Group>* groups) {
  const size_t n = groups->size();
  std::vector<double> saved(n * n, -1);
  const auto compare = [&](size_t a, size_t b) {
    const Group &x = (*groups)[a], &y = (*groups)[b];
    saved[std::min(a, b) * n + std::max(a, b)] = x.bits + y.bits - GroupBits(x.counts, &y.counts);
  };
  for (Group& group : *groups) group.bits = GroupBits(group.counts, nullptr);
  for (size_t a = 0; a < n; a++) {
    for (size_t b = a + 1; b < n; b++) compare(a, b);
  }
  for (;;) {
    const auto best = std::max_element(saved.begin(), saved.end());
    if (best == saved.end() || *best <= 0) break;
    const auto place = static_cast<size_t>(best - saved.begin());
    const size_t a = place / n, b = place % n;
    Group &x = (*groups)[a], &y = (*groups)[b];
    x.counts += y.counts;
    x.tensors.insert(x.tensors.end(), y.tensors.begin(), y.tensors.end());
    x.bits = GroupBits(x.counts, nullptr);
    y = {};
    for (size_t other = 0; other < n; other++) {
      saved[std::min(other, b) * n + std::max(other, b)] = -1;
      if (other != a && !(*groups)[other].tensors.empty()) compare(a, other);
    }
  }
  std::erase_if(*groups, [](const Group& group) { return group.tensors.empty(); });
}

/// Every tensor moves to the pair that codes it in the fewest bits.
std::vector<Group> Reassign(const std::vector<StepCounts>& tensors, const std::vector<Group>& groups) {
  std::vector<Prices> prices;
  for (const Group& group : groups) prices.emplace_back(Fit(group.counts));
  std::vector<Group> moved(groups.size());
  for (size_t g = 0; g < groups.size(); g++) {
    for (const size_t tensor : groups[g].tensors) {
      size_t best = g;
      double least = prices[g].Of(tensors[tensor]);
      for (size_t other = 0; other < groups.size(); other++) {
        const double bits = prices[other].Of(tensors[tensor]);
        if (bits < least) {
          least = bits;
          best = other;
        }
      }
      Join(tensors, tensor, &moved[best]);
    }
  }
  std::erase_if(moved, [](const Group& group) { return group.tensors.empty(); });
  return moved;
}

double TotalBits(const std::vector<Group>& groups) {
  double bits = 0;
  for (const Group& group : groups) bits += GroupBits(group.counts, nullptr);
  return bits;
}

/// n·H of the codes of one group.
double EntropyOf(const StepCounts& counts) {
  std::vector<uint64_t> symbols = AsVector(counts.level);
  double bits = static_cast<double>(counts.entries());  // signs
  for (uint32_t token = 0; token < kNumberTokens; token++)
    bits += static_cast<double>(counts.level[token]) * ExtraBits(token);
  symbols.push_back(counts.elements - counts.entries());
  return bits + EntropyBits(symbols);
}

}  // namespace

uint64_t StepCounts::entries() const { return std::accumulate(level.begin(), level.end(), uint64_t{0}); }

StepCounts& StepCounts::operator+=(const StepCounts& other) {
  for (size_t s = 0; s < kNumberTokens; s++) {
    run[s] += other.run[s];
    level[s] += other.level[s];
  }
  elements += other.elements;
  segments += other.segments;
  return *this;
}

StepTables ChooseStepTables(const std::vector<StepCounts>& tensors) {
  std::vector<Group> groups = FirstGroups(tensors);
  MergeGroups(&groups);
  std::vector<Group> moved = Reassign(tensors, groups);
  if (TotalBits(moved) < TotalBits(groups)) groups = std::move(moved);
  // Low numbers are one byte in the directory: they go to the groups that are named most often.
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group& a, const Group& b) { return a.counts.segments > b.counts.segments; });
  StepTables tables;
  tables.number.resize(tensors.size());
  for (const Group& group : groups) {
    for (const size_t tensor : group.tensors) {
      tables.number[tensor] = static_cast<uint16_t>(tables.pairs.size());
    }
    tables.pairs.push_back(Fit(group.counts));
    tables.entropy_bits += EntropyOf(group.counts);
  }
  return tables;
}

}  // namespace taskfold
