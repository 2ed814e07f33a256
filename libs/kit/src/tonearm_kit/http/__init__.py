"""The HTTP door: one app factory, one error shape, one server that drains."""

from tonearm_kit.http.app import create_app
from tonearm_kit.http.describe import problems
from tonearm_kit.http.health import Check
from tonearm_kit.http.problem import Problem, problem_response, request_id
from tonearm_kit.http.server import serve

__all__ = ["Check", "Problem", "create_app", "problem_response", "problems", "request_id", "serve"]
