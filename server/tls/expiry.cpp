#include "tls/expiry.hpp"

#include "tls/x509_facts.hpp"

#include <algorithm>

namespace scoregate::tls {

namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;

constexpr std::size_t names_told = 3;

// In whole seconds, as certificates are: the clock's own ends are too far apart for its own unit.
seconds since_epoch(certificate::time_point time) { return std::chrono::floor<seconds>(time.time_since_epoch()); }

std::string counted(std::chrono::seconds::rep count, const char* unit) {
    return std::to_string(count) + " " + unit + (count == 1 ? "" : "s");
}

} // namespace

std::vector<expiry_threshold> expiry_thresholds(certificate::time_point not_before, certificate::time_point not_after) {
    const auto lifetime = since_epoch(not_after) - since_epoch(not_before);
    const auto first = std::min<seconds>(lifetime / 3, days(30));
    std::vector<expiry_threshold> thresholds{{expiry_stage::renew, first}};
    if (days(7) < first) thresholds.push_back({expiry_stage::week, days(7)});
    if (days(1) < first) thresholds.push_back({expiry_stage::day, days(1)});
    return thresholds;
}

expiry_stage stage_of(certificate::time_point not_before, certificate::time_point not_after,
                      certificate::time_point now) {
    if (now > not_after) return expiry_stage::expired;
    const auto left = time_left(not_after, now);
    auto stage = expiry_stage::fine;
    for (const auto& threshold : expiry_thresholds(not_before, not_after))
        if (left <= threshold.before_end) stage = threshold.stage;
    return stage;
}

std::string expiry_warning(const certificate& certificate, const std::string& cname, expiry_stage stage,
                           certificate::time_point now) {
    if (stage == expiry_stage::fine) return {};
    const auto subject = "the certificate for " + cname + " (serial " + certificate.serial() + ", names " +
                         to_text(certificate.names(), names_told) + ") ";
    const auto left = time_left(certificate.not_after(), now);
    const std::string end = to_text(X509_get0_notAfter(certificate.leaf()));
    if (stage == expiry_stage::expired)
        return subject + "expired " + to_text(-left) + " ago, at " + end +
               ", and clients refuse to connect: put a renewed pair in its files at once, it is taken up without a "
               "restart";
    return subject + "expires in " + to_text(left) + ", at " + end + ": renew it " +
           (stage == expiry_stage::renew ? "soon" : "now") +
           " and put the new pair in its files, it is taken up without a restart";
}

seconds time_left(certificate::time_point not_after, certificate::time_point now) {
    return since_epoch(not_after) - since_epoch(now);
}

std::string to_text(seconds time) {
    if (time >= days(2)) return counted(time / days(1), "day");
    if (time >= hours(1)) return counted(time / hours(1), "hour");
    return "less than an hour";
}

} // namespace scoregate::tls
