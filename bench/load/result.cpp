#include "result.hpp"

#include <nlohmann/json.hpp>

#include <cmath>

namespace load {
namespace {

double microseconds(std::chrono::nanoseconds time) { return std::round(double(time.count()) / 100) / 10; }

} // namespace

void result::count(fault why) {
    switch (why) {
    case fault::connect: ++connect_errors; break;
    case fault::read:
    case fault::gone: ++read_errors; break;
    case fault::write: ++write_errors; break;
    case fault::timeout: ++timeouts; break;
    }
}

std::string result::line() const {
    nlohmann::ordered_json json{
        {"mode", mode},
        {"seconds", seconds},
        {"requests", requests},
        {"wrong", wrong},
        {"errors",
         {{"connect", connect_errors}, {"read", read_errors}, {"write", write_errors}, {"timeout", timeouts}}},
        {"connects", connects},
        {"p50_us", microseconds(times.percentile(0.5))},
        {"p90_us", microseconds(times.percentile(0.9))},
        {"p99_us", microseconds(times.percentile(0.99))},
        {"p999_us", microseconds(times.percentile(0.999))},
        {"max_us", microseconds(times.max())},
    };
    if (late) json["late_p99_us"] = microseconds(late->percentile(0.99));
    if (usual) {
        json["windows"] = usual->count();
        json["usual_p50_us"] = microseconds(usual->percentile(0.5));
        json["usual_p99_us"] = microseconds(usual->percentile(0.99));
    }
    if (resumed) json["resumed"] = *resumed;
    if (full) json["full"] = *full;
    if (events) json["events"] = *events;
    if (streams) json["streams"] = *streams;
    return json.dump();
}

} // namespace load
