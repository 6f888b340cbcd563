// How Catch prints a result: that there is a value, or the failure's token and detail. Include before the assertions.
#pragma once

#include "base/result.hpp"

#include <catch2/catch.hpp>

#include <string>

namespace Catch {

template <class T>
struct StringMaker<boost::system::result<T, scoregate::base::failure>> {
    static std::string convert(const boost::system::result<T, scoregate::base::failure>& result) {
        if (result) return "a value";
        return std::string(scoregate::base::token(result.error().kind)) + ": " + result.error().detail;
    }
};

} // namespace Catch
