# omjob
