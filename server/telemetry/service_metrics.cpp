#include "telemetry/service_metrics.hpp"

namespace scoregate::telemetry {

request_counts::~request_counts() {
    for (block* at = first_.next; at;) {
        const std::unique_ptr<block> ended{at};
        at = at->next;
    }
}

} // namespace scoregate::telemetry
